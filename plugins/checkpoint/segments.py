"""A network in segments, of which backward computes the inside again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import Tensor, fx, nn
from torch.fx.passes.split_module import split_module
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def root_of_layers(module: fx.GraphModule) -> int:
    """⌈√n⌉ segments for n layers: O(√n) memory for one forward pass more (Chen et al. 2016, section 4)."""
    return math.ceil(math.sqrt(len(_trained(module))))


class Segmented(nn.Module):
    """Runs a traced network in segments of as many layers each; its parameters stay the network's. What comes before
    the first trained layer keeps nothing for backward, and is no segment."""

    def __init__(self, module: fx.GraphModule, segments: int) -> None:
        super().__init__()
        self.module = module
        self._segments = (_split(module, segments),)  # not a submodule: its layers are those of `module`

    def forward(self, x: Tensor) -> Tensor:
        """The network's output."""
        result: Tensor = _Checkpointed(self._segments[0]).run(x)
        return result


class _Checkpointed(fx.Interpreter):
    """Runs each segment under torch's checkpoint."""

    def call_module(self, target: fx.node.Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        segment = self.fetch_attr(str(target))
        if not any(tensor.requires_grad for tensor in [*segment.parameters(), *args]):
            return segment(*args, **kwargs)
        return checkpoint(segment, *args, use_reentrant=False, context_fn=_contexts(segment), **kwargs)


def _contexts(segment: nn.Module) -> Callable[[], tuple[AbstractContextManager[None], AbstractContextManager[None]]]:
    """The contexts of a segment's forward pass, and of its repetition."""
    return lambda: (nullcontext(), _statistics_kept(segment))


@contextmanager
def _statistics_kept(segment: nn.Module) -> Iterator[None]:
    """Keeps the statistics of normalisations, which have counted this batch already: with momentum 0 it changes nothing
    again."""
    norms = [module for module in segment.modules() if isinstance(module, _BatchNorm) and module.training]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.sub_(1)


def _trained(module: fx.GraphModule) -> list[fx.Node]:
    """The operations from the first one with a trained parameter on."""
    named = dict(module.named_modules())
    calls = [node for node in module.graph.nodes if node.op.startswith("call")]

    def is_trained(node: fx.Node) -> bool:
        return node.op == "call_module" and any(p.requires_grad for p in named[str(node.target)].parameters())

    return calls[next(number for number, node in enumerate(calls) if is_trained(node)) :]


def _split(module: fx.GraphModule, segments: int) -> fx.GraphModule:
    trained = _trained(module)
    size = math.ceil(len(trained) / segments)
    segment = {node: 1 + number // size for number, node in enumerate(trained)}
    return split_module(module, module, lambda node: segment.get(node, 0))
