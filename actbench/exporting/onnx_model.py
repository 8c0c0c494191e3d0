"""The deployed network in ONNX, in the form that runtimes expect of quantised networks: QuantizeLinear and
DequantizeLinear where a map is stored, and weights as integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from actbench.errors import Unsupported
from actbench.exporting.call import Call
from actbench.exporting.codes import weight_of_codes
from actbench.exporting.graph import Graph
from actbench.exporting.program import record_program
from actbench.exporting.table import TRANSLATIONS
from actbench.exporting.weights import Codes, weight_codes
from actbench.network import nodes

INPUT = "images"


def onnx_model(deployed: fx.GraphModule, weight_bits: int, images: Tensor) -> Any:
    """Translates a deployed network, for any number of images like these (n, C, H, W), into an `onnx.ModelProto`.
    Raises Unsupported, naming the operator or the map, where there is no ONNX form."""
    program = record_program(deployed, images, marked=True)
    codes = weight_codes(deployed, weight_bits)

    def codes_of(path: str) -> Codes | None:
        tensor = nodes.attribute(deployed, path) if _has(deployed, path) else None
        return codes.get(id(tensor))

    return _Translation(program, codes_of).model(tuple(images.shape[1:]))


class _Translation:
    """One translation, node by node."""

    def __init__(self, program: ExportedProgram, codes_of: Callable[[str], Codes | None]) -> None:
        self._program = program
        self._codes_of = codes_of
        self._graph = Graph()
        self._values: dict[fx.Node, Any] = {}
        self._tables: dict[fx.Node, Tensor] = {}

    def model(self, shape: tuple[int, ...]) -> Any:
        """The whole model."""
        outputs: Any = ()
        self._check_operators()
        for node in self._program.graph.nodes:
            if node.op == "placeholder":
                self._take_input(node)
            elif node.op == "call_function":
                self._values[node] = self._translated(node)
            elif node.op == "output":
                outputs = node.args[0]
        given = {self._named_output(node, number): _sizes(node) for number, node in enumerate(outputs)}
        return self._graph.model(shape, INPUT, given)

    def _check_operators(self) -> None:
        """Raises Unsupported, naming what has no ONNX form, before anything is translated."""
        self._program.graph.eliminate_dead_code()
        called = [node for node in self._program.graph.nodes if node.op == "call_function"]
        names = {_operator(node) for node in called if _gives_tensors(node)}
        if unknown := sorted(names - set(TRANSLATIONS)):
            raise Unsupported(f"no ONNX form is known of {', '.join(unknown)}")

    def _take_input(self, node: fx.Node) -> None:
        spec = {spec.arg.name: spec for spec in self._program.graph_signature.input_specs}[node.name]
        if spec.kind is InputKind.USER_INPUT:
            self._values[node] = self._graph.name(INPUT)
            return
        path = str(spec.target)
        tensor = self._stored(path)
        self._tables[node] = tensor
        if any(nodes.function_name(user) not in ("to_codes", "to_values") for user in node.users):
            self._values[node] = self._constant(path, tensor)

    def _stored(self, path: str) -> Tensor:
        kept: Mapping[str, Any] = self._program.state_dict
        tensor: Tensor = kept[path] if path in kept else self._program.constants[path]
        return tensor.detach().cpu()

    def _constant(self, path: str, tensor: Tensor) -> str:
        codes = self._codes_of(path)
        if codes is not None:
            return weight_of_codes(self._graph, path, codes)
        values = tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16, torch.float64) else tensor
        return self._graph.constant(values.numpy(), path)

    def _translated(self, node: fx.Node) -> Any:
        if not _gives_tensors(node):
            return None
        return TRANSLATIONS[nodes.function_name(node)](Call.of(self._graph, node, self._values, self._tables))

    def _named_output(self, node: fx.Node, number: int) -> str:
        name = "outputs" if number == 0 else f"outputs_{number}"
        return self._graph.add("Identity", self._values[node], name=name)


def _sizes(node: fx.Node) -> tuple[int | str, ...]:
    return tuple(size if isinstance(size, int) else "batch" for size in node.meta["val"].shape)


def _operator(node: fx.Node) -> str:
    """What an operator is looked up by. To read the bits of a number as another type is none of ONNX's views."""
    return "view.dtype" if node.target is torch.ops.aten.view.dtype else nodes.function_name(node)


def _gives_tensors(node: fx.Node) -> bool:
    """Whether a call computes something: the number of images is in shapes, and what checks it gives nothing."""
    return isinstance(node.meta.get("val"), Tensor | list | tuple)


def _has(module: fx.GraphModule, path: str) -> bool:
    try:
        nodes.attribute(module, path)
    except AttributeError:
        return False
    return True
