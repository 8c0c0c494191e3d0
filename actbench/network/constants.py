"""What a graph computes from parameters alone, whatever the image: standardised weights, tables of positions."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from actbench.network import nodes
from actbench.network.splice import tidy


def fold_constants(module: fx.GraphModule) -> None:
    """Computes it once: what an image meets of it becomes a parameter where it is computed from one, and a buffer
    otherwise."""
    interpreter = fx.Interpreter(module, garbage_collect_values=False)
    of_parameters: dict[fx.Node, bool] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            of_parameters[node] = isinstance(nodes.attribute(module, str(node.target)), nn.Parameter)
        elif _is_call(node) and all(read in of_parameters for read in node.all_input_nodes):
            of_parameters[node] = any(of_parameters[read] for read in nodes.read_by(node))
        else:
            continue
        with torch.no_grad():
            interpreter.env[node] = interpreter.run_node(node)
    for node, trained in of_parameters.items():
        value = interpreter.env[node]
        if node.op != "get_attr" and isinstance(value, Tensor) and not of_parameters.keys() >= set(node.users):
            _replace(module, node, nn.Parameter(value) if trained and value.is_floating_point() else value)
    tidy(module)


def _is_call(node: fx.Node) -> bool:
    """Whether a node computes something of what it reads; what reads nothing may be random."""
    return node.op in ("call_function", "call_method", "call_module") and bool(node.all_input_nodes)


def _replace(module: fx.GraphModule, node: fx.Node, value: Tensor) -> None:
    name = f"constant_{node.name}"
    if isinstance(value, nn.Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)
    with module.graph.inserting_before(node):
        constant = module.graph.get_attr(name)
    constant.meta = dict(node.meta)
    node.replace_all_uses_with(constant)
