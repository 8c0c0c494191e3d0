"""Compiled units: encoding and packing, unpacking and decoding, and the steps between them, each one graph of operators
on tensors that inductor makes kernels of."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch._inductor as inductor
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten
from typing_extensions import override

from actbench.codec.packed_payload import Form, PackedPayload
from actbench.codec.payload import Payload
from actbench.codec.rows import ReadsRows, Rows
from actbench.runtime.region import Program, Read
from actbench.runtime.units import Units

Tensors = Sequence[Tensor]
Function = Callable[..., Tensors]
Around = Callable[[], AbstractContextManager[object]]

_OPTIONS = {"freezing": True, "compile_threads": 1}
"""Weights are constants, in the order that kernels read them in; and no process is left behind."""


class CompiledUnits(Units):
    """Carries out units compiled, one for each form that its tensors have; those that are no graph of tensors as they
    come. `around`: what compilers are run in."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._units: dict[Hashable, Function | None] = {}
        self._forms: dict[Hashable, Form] = {}

    @property
    def compiled(self) -> int:
        """How many units are compiled."""
        return sum(unit is not None for unit in self._units.values())

    @property
    def count(self) -> int:
        """How many units there are."""
        return len(self._units)

    @override
    def encode(self, codec: Rows, x: Tensor, head: Payload) -> PackedPayload:
        key = ("encode", codec, _form(x))

        def encode(x: Tensor) -> Tensors:
            packed = PackedPayload.of(codec.encode_rows(x, head))
            self._forms[key] = packed.form
            return packed.tensors

        unit = self._unit(key, encode, [x])
        return PackedPayload(tuple(unit(x)), self._forms[key]) if unit is not None else super().encode(codec, x, head)

    @override
    def decode(self, codec: ReadsRows, stripe: PackedPayload, head: Payload) -> Tensor:
        key = ("decode", codec, stripe.form, *map(_form, stripe.tensors))
        if head.fields:  # of one image alone
            self._units.setdefault(key, None)

        def decode(*tensors: Tensor) -> Tensors:
            return [codec.decode_rows(PackedPayload(tensors, stripe.form).payload(), head)]

        unit = self._unit(key, decode, stripe.tensors)
        return unit(*stripe.tensors)[0] if unit is not None else super().decode(codec, stripe, head)

    @override
    def run(self, program: Program, read: Read) -> dict[fx.Node, Tensor]:
        tensors = [read(node, rows).contiguous() for node, rows in program.read.items()]

        def compute(*tensors: Tensor) -> Tensors:
            computed = program.run(_given(program, tensors))
            return [computed[target] for target in program.wanted]

        unit = self._unit((id(program), *map(_form, tensors)), compute, tensors)
        if unit is None:
            return super().run(program, _given(program, tensors))
        return dict(zip(program.wanted, unit(*tensors), strict=True))

    def _unit(self, key: Hashable, function: Function, tensors: Tensors) -> Function | None:
        if key not in self._units:
            self._units[key] = self._made(function, tensors)
        return self._units[key]

    def _made(self, function: Function, tensors: Tensors) -> Function | None:
        """The compiled function; None where it does more than to compute with tensors."""
        try:
            return _compiled(function, tensors, self._around)
        except Exception:
            return None


def _given(program: Program, tensors: Tensors) -> Read:
    values = dict(zip(program.read, tensors, strict=True))
    return lambda node, rows: values[node]


def compiled_module(module: fx.GraphModule, x: Tensor) -> Callable[[Tensor], Any]:
    """Compiles a whole network for inputs like x (batch, C, H, W), as units are compiled."""
    form: list[TreeSpec] = []

    def network(x: Tensor) -> Tensors:
        leaves, spec = tree_flatten(module(x))
        form[:] = [spec]
        return leaves

    unit = _compiled(network, [x])
    return lambda x: tree_unflatten(unit(x), form[0])


def _compiled(function: Function, tensors: Tensors, around: Around = nullcontext) -> Function:
    graph = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*tensors)
    with around():
        unit: Function = inductor.compile(graph, list(tensors), options=_OPTIONS)
        unit(*tensors)
    return unit


def _form(tensor: Tensor) -> Any:
    return tensor.shape, tensor.stride(), tensor.dtype
