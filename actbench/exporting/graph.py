"""An ONNX graph that is put together node by node."""

from __future__ import annotations

from typing import Any

import numpy
import torch
from numpy.typing import NDArray

from actbench.errors import UserError

OPSET = 21
"""The first in which quantisation has integers of 4 and of 16 bits."""

_FORMAT = 10
"""The version of the file's format that came with the opset."""

Numbers = NDArray[Any]


def onnx_library() -> Any:
    """The module `onnx`. Raises UserError where it is not installed."""
    try:
        import onnx
    except ImportError as error:
        raise UserError('ONNX needs two packages that are not installed: pip install "actbench[onnx]"') from error
    return onnx


class Graph:
    """Nodes in their order, and constants."""

    def __init__(self) -> None:
        self._onnx = onnx_library()
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._named: set[str] = set()

    def add(self, operator: str, *inputs: str, name: str = "", unread: int = 0, **attributes: Any) -> str:
        """Adds a node, and gives the name of its first output; behind it are so many that nobody reads. An empty input
        is one that is left out."""
        output = self.name(name or operator.lower())
        outputs = [output, *(self.name(f"{output}_unread") for _ in range(unread))]
        node = self._onnx.helper.make_node(operator, list(inputs), outputs, name=output, **attributes)
        self._nodes.append(node)
        return output

    def constant(self, values: Numbers | float | list[int], name: str = "constant") -> str:
        """Adds a constant: an array as it is, a float in fp32, whole numbers in 64 bits."""
        array = numpy.asarray(
            values, numpy.int64 if isinstance(values, list) else getattr(values, "dtype", numpy.float32)
        )
        name = self.name(name)
        self._constants[name] = self._onnx.numpy_helper.from_array(array, name)
        return name

    def tensor(self, values: Numbers) -> Any:
        """An array as an attribute of a node."""
        return self._onnx.numpy_helper.from_array(values)

    def type_of(self, dtype: torch.dtype) -> int:
        """The number that a type has in ONNX."""
        kind: int = self._onnx.helper.np_dtype_to_tensor_dtype(torch.empty(0, dtype=dtype).numpy().dtype)
        return kind

    def name(self, wanted: str) -> str:
        """A name that nothing has, like the one that is wanted."""
        name, number = wanted, 1
        while name in self._named:
            number += 1
            name = f"{wanted}_{number}"
        self._named.add(name)
        return name

    def model(self, shape: tuple[int, ...], inputs: str, outputs: dict[str, tuple[int | str, ...]]) -> Any:
        """The whole, for any number of images of `shape`; `outputs`: their shapes, by their names. It is checked."""
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        taken = helper.make_tensor_value_info(inputs, kinds.FLOAT, ["batch", *shape])
        given = [helper.make_tensor_value_info(name, kinds.FLOAT, list(size)) for name, size in outputs.items()]
        graph = helper.make_graph(self._nodes, "network", [taken], given, list(self._constants.values()))
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], producer_name="actbench", ir_version=_FORMAT)
        self._onnx.checker.check_model(model, full_check=True)
        return model
