"""Calling what a node of a graph calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx

from actbench.network import nodes


def call(node: fx.Node, value: Callable[[fx.Node], Any]) -> Any:
    """Calls a node's module, method or function with the values of the nodes that it reads."""
    arguments: Any = fx.node.map_arg(node.args, value)
    keywords: Any = fx.node.map_arg(node.kwargs, value)
    target: Any = nodes.module_of(node) or node.target
    if node.op == "call_method":
        owner, *rest = arguments
        return getattr(owner, target)(*rest, **keywords)
    return target(*arguments, **keywords)
