"""A network whose training step the compiler behind torch.compile divides into forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from functorch.compile import aot_module_simplified, min_cut_rematerialization_partition
from torch import Tensor, fx, nn

Settings = Callable[[], AbstractContextManager[Any]]
"""A context in which the partitioner has some settings."""


class Partitioned(nn.Module):
    """Runs a traced network in the two graphs that torch's partitioner makes of its training step, operator by
    operator: no kernels are generated, so that all that the graphs keep and compute is seen by whoever counts. There is
    a pair of graphs for each size of a batch. In evaluation, or without gradients, the network runs as it is."""

    def __init__(self, module: fx.GraphModule, settings: Settings) -> None:
        super().__init__()
        self.module = module
        self._settings = settings
        self._steps: dict[torch.Size, Callable[[Tensor], Any]] = {}

    def forward(self, x: Tensor) -> Any:
        """The network's output."""
        if not (self.training and torch.is_grad_enabled()):
            return self.module(x)
        if x.shape not in self._steps:
            with self._settings():
                self._steps[x.shape] = _compiled(self.module, x)
        return self._steps[x.shape](x)[0]


def _compiled(module: fx.GraphModule, x: Tensor) -> Callable[[Tensor], Any]:
    compiled: Callable[[Tensor], Any] = aot_module_simplified(
        _giving_a_tuple(module),
        (x,),
        _interpreted,
        _interpreted,
        partition_fn=min_cut_rematerialization_partition,
        # Statistics of normalisations change within the graph, and not behind the back of what is kept of them.
        keep_inference_input_mutations=True,
    )
    return compiled


def _giving_a_tuple(module: fx.GraphModule) -> fx.GraphModule:
    """The same network, of the same parameters, with its output in a tuple, as the compiler asks for it."""
    graph = fx.Graph()
    graph.output((graph.graph_copy(module.graph, {}),))
    return fx.GraphModule(module, graph)


def _interpreted(graph: fx.GraphModule, examples: Sequence[Any]) -> Callable[[list[Any]], Any]:
    """Runs a graph operator by operator, and frees each value, arguments too, after its last use."""
    interpreter = fx.Interpreter(graph)

    def run(arguments: list[Any]) -> Any:
        return interpreter.boxed_run(arguments)

    run._boxed_call = True  # type: ignore[attr-defined]
    return run
