"""What a graph computes from parameters alone, whatever the image: standardised weights, tables of positions."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, fx, nn

from actbench.network.splice import tidy


def fold_constants(module: fx.GraphModule) -> None:
    """Computes it once: each result that an image meets becomes a parameter, or a buffer of whole numbers."""
    interpreter = fx.Interpreter(module, garbage_collect_values=False)
    constant: set[fx.Node] = set()
    for node in module.graph.nodes:
        if node.op == "get_attr" or _is_computed_from(node, constant):
            constant.add(node)
            with torch.no_grad():
                interpreter.env[node] = interpreter.run_node(node)
    for node in [node for node in module.graph.nodes if node in constant and node.op != "get_attr"]:
        value = interpreter.env[node]
        if isinstance(value, Tensor) and not set(node.users) <= constant:
            _replace(module, node, value)
    tidy(module)


def _is_computed_from(node: fx.Node, constant: Collection[fx.Node]) -> bool:
    calls = node.op in ("call_function", "call_method", "call_module")
    return calls and bool(node.all_input_nodes) and all(read in constant for read in node.all_input_nodes)


def _replace(module: fx.GraphModule, node: fx.Node, value: Tensor) -> None:
    name = f"constant_{node.name}"
    if value.is_floating_point():
        module.register_parameter(name, nn.Parameter(value.detach()))
    else:
        module.register_buffer(name, value)
    with module.graph.inserting_before(node):
        constant = module.graph.get_attr(name)
    constant.meta = dict(node.meta)
    node.replace_all_uses_with(constant)
