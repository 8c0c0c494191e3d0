"""A machine that forgets: it runs a traced network layer by layer, and between two layers has nothing but what it is
told to keep. Whatever else a layer reads, it computes again; a layer is computed once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.LSTM)
LAYER_FUNCTIONS = ("conv2d", "conv_transpose2d", "linear", "matmul", "scaled_dot_product_attention")


class Forgotten(Exception):
    """What is asked for takes a layer that has been computed before, or has not yet been."""


@dataclass
class Kept:
    """A tensor that is kept, from one layer to another."""

    value: Tensor
    written: int
    read: int


class Forgetful(fx.Interpreter):
    """Runs a network of which the nodes of some names are kept."""

    def __init__(self, module: fx.GraphModule, keep: Collection[str]) -> None:
        super().__init__(module)
        self.keep = [node for node in module.graph.nodes if node.name in keep]
        self.layers = [node for node in module.graph.nodes if self._is_layer(node)]
        self.memory: dict[fx.Node, Kept] = {}

    def _is_layer(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return isinstance(self.fetch_attr(str(node.target)), LAYERS)
        return getattr(node.target, "__name__", node.target) in LAYER_FUNCTIONS

    def check(self, images: Tensor) -> None:
        """Runs it, and compares what it gives with what the network gives. Raises Forgotten where a layer needs more
        than what is kept."""
        whole = fx.Interpreter(self.module, garbage_collect_values=False)
        with torch.no_grad():
            whole.run(images)
        self._known = {node: value for node, value in whole.env.items() if node.op == "placeholder" or _is_form(value)}
        (output,) = (node for node in self.module.graph.nodes if node.op == "output")
        results = self._run(output.all_input_nodes)
        for node in output.all_input_nodes:
            if node not in results:
                raise Forgotten(node.name)
            torch.testing.assert_close(results[node], whole.env[node])

    def _run(self, given: list[fx.Node]) -> dict[fx.Node, Any]:
        results: dict[fx.Node, Any] = {}
        self.memory = {}
        for time, layer in enumerate(self.layers, 1):
            self.env = {}
            self._compute(layer, time, here=layer)
            for node in [node for node in self.keep if node not in self.memory]:
                if (value := self._try(node, time, layer)) is not None:
                    self.memory[node] = Kept(value, time, 0)
            for node in [node for node in given if node not in results]:
                if (value := self._try(node, time, layer)) is not None:
                    results[node] = value
        return results

    def live_peak(self) -> int:
        """The most values that are kept while a layer computes, in and out."""
        alive = [kept for kept in self.memory.values() if kept.read]
        times = range(1, len(self.layers) + 1)
        return max(sum(kept.value.numel() for kept in alive if kept.written <= time <= kept.read) for time in times)

    def _try(self, node: fx.Node, time: int, layer: fx.Node) -> Any:
        try:
            return self._compute(node, time, here=layer)
        except Forgotten:
            return None

    def _compute(self, node: fx.Node, time: int, here: fx.Node) -> Any:
        if node in self.env:
            return self.env[node]
        if node in self.memory:
            self.memory[node].read = max(self.memory[node].read, time)
            return self.memory[node].value
        if node in self._known:
            return self._known[node]
        if node in self.layers and node is not here:
            raise Forgotten(node.name)
        before = {read: self._compute(read, time, here) for read in node.all_input_nodes}
        kept, self.env = self.env, before
        with torch.no_grad():
            value = self.run_node(node)
        self.env = kept | {node: value}
        return value


def _is_form(value: object) -> bool:
    return not any(isinstance(leaf, Tensor) for leaf in tree_leaves(value))
