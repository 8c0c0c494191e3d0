"""A call of an operator in a recorded program, with its arguments by name and what is known of shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from actbench.errors import Unsupported
from actbench.exporting.graph import Graph, Numbers
from actbench.network import nodes

Tables = Mapping[fx.Node, Tensor]
"""The values of parameters and buffers, by the nodes that stand for them."""


@dataclass(frozen=True)
class Call:
    """`given`: every argument by its name in the operator's schema, defaults included. `values`: what nodes have
    become, names in the ONNX graph or lists of them; `tables` those that are constants."""

    graph: Graph
    node: fx.Node
    given: Mapping[str, Any]
    values: Mapping[fx.Node, Any]
    tables: Tables

    @classmethod
    def of(cls, graph: Graph, node: fx.Node, values: Mapping[fx.Node, Any], tables: Tables) -> Call:
        """Binds a node's arguments."""
        schema = getattr(node.target, "_schema", None)
        return cls(graph, node, dict(_bound(schema, node)) if schema else {}, values, tables)

    @property
    def name(self) -> str:
        """The operator's name."""
        return nodes.function_name(self.node)

    def __getitem__(self, argument: str) -> Any:
        return self.given[argument]

    def get(self, argument: str, default: Any = None) -> Any:
        """An argument; the default where the operator has none of that name, or it was not given."""
        value = self.given.get(argument)
        return default if value is None else value

    def read(self, argument: str | fx.Node | float) -> str:
        """The name of a tensor that the call reads; a number becomes a constant."""
        value = self.given[argument] if isinstance(argument, str) else argument
        if isinstance(value, fx.Node):
            return str(self.values[value])
        return self.graph.constant(float(value))

    def read_as(self, argument: str, dtype: torch.dtype) -> str:
        """The name of a tensor that the call reads, in this type; a number becomes a constant of it."""
        value = self.given[argument]
        if not isinstance(value, fx.Node):
            return self.graph.constant(torch.tensor(value, dtype=dtype).numpy())
        name = str(self.values[value])
        return name if value.meta["val"].dtype == dtype else self.cast(name, dtype)

    def cast(self, name: str, dtype: torch.dtype) -> str:
        """A tensor in another type."""
        return self.graph.add("Cast", name, name=str(self.node.name), to=self.graph.type_of(dtype))

    @property
    def dtype(self) -> torch.dtype:
        """The type of what the call gives."""
        given: torch.dtype = self.node.meta["val"].dtype
        return given

    def table(self, argument: str) -> Numbers:
        """The values of a constant, in fp32."""
        return self.tables[self.given[argument]].detach().float().numpy()

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node to the graph, named after this one."""
        return self.graph.add(operator, *inputs, name=str(self.node.name), **attributes)

    def shape_of(self, argument: str) -> tuple[Any, ...]:
        """The shape of a tensor that the call reads: the number of images is no number there."""
        return tuple(self.given[argument].meta["val"].shape)

    def sizes_of(self, argument: str, start: int) -> tuple[int, ...]:
        """A tensor's sizes from a dimension on. Raises Unsupported where one is not fixed."""
        return tuple(map(self.fixed, self.shape_of(argument)[start:]))

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape of what the call gives."""
        return tuple(self.node.meta["val"].shape)

    def rank_of(self, argument: str) -> int:
        """The number of a tensor's dimensions."""
        return len(self.shape_of(argument))

    def fixed(self, size: Any) -> int:
        """A size that is a number. Raises Unsupported for one that depends on how many images there are."""
        if not isinstance(size, int):
            raise Unsupported(f"{self.name} at {self.node.name}: its size depends on the number of images")
        return size

    def refused(self, why: str) -> Unsupported:
        """The error that this call has no ONNX form."""
        return Unsupported(f"{self.name} at {self.node.name}: {why}")


def _bound(schema: Any, node: fx.Node) -> Iterator[tuple[str, Any]]:
    for position, argument in enumerate(schema.arguments):
        if position < len(node.args):
            yield argument.name, node.args[position]
        else:
            yield argument.name, node.kwargs.get(argument.name, argument.default_value)
