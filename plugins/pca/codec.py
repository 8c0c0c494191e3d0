"""The codec of rotated maps: one step for all components, and their symbols through an entropy coder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from actbench.codec import Codec, Folded, Payload
from actbench.codec.bit_strings import Stream
from actbench.codec.entropy_coder import (
    START_BITS,
    Coder,
    coders_of,
    pop,
    pop_integers,
    push,
    push_integers,
    strings_of,
)
from actbench.codec.quantizers import round_straight_through
from actbench.codec.rate_control import Ladder, Rung
from actbench.info import OptionValue
from actbench_plugins.pca.tables import Tables


class CodedComponents(Rung):
    """Stores `q = round(z / step)`, clipped to `width` bits, of components z (batch, C, H, W); `ẑ = q·step`.

    A string holds the symbols of all values, and then, in `width` bits each, the values that are escaped.
    """

    step: Tensor

    def __init__(self, step: float, width: int, sample: Tensor) -> None:
        """Counts the tables from `sample` (images, C, H, W), the components on calibration images."""
        super().__init__()
        self.width = width
        self.columns = sample.shape[3]
        self.register_buffer("step", torch.tensor(step))
        deviations = sample.transpose(0, 1).flatten(1).square().mean(1).sqrt() / step
        self.tables = Tables(self.codes(sample), deviations)

    def codes(self, z: Tensor) -> Tensor:
        """The integers q: (batch, C, H, W) → (batch, C, H·W)."""
        half = 1 << (self.width - 1)
        return (z.detach().flatten(2).float() / self.step.float()).round().clamp(-half, half - 1).int()

    def costs(self, z: Tensor) -> Tensor:
        """The bits (batch,) that the frequencies promise, with escaped values and the coder's start: strings' lengths
        but for rounding."""
        symbols, escaped = self.tables.symbols(self.codes(z))
        bits = self.tables.costs(symbols).sum((1, 2), dtype=torch.float64)
        return bits + self.width * escaped.sum((1, 2)) + START_BITS

    @override
    def encode(self, x: Tensor) -> Stream:
        codes = self.codes(x)
        symbols, escaped = self.tables.symbols(codes)
        coders = [Coder() for _ in codes]
        push_integers(coders, codes[escaped], escaped.sum((1, 2)), self.width)
        push(coders, symbols, self.tables.models())
        strings = strings_of(coders)
        return Stream(strings.bits.to(x.device), strings.lengths.to(x.device))

    @override
    def decode(self, stream: Stream, height: int) -> Tensor:
        coders, device = coders_of(stream), self.step.device
        symbols = pop(coders, self.tables.models(), height * self.columns)
        codes, escaped = self.tables.codes(symbols.to(device))
        codes[escaped] = pop_integers(coders, escaped.sum((1, 2)), self.width).to(device)
        return (codes * self.step.float()).to(stream.bits.device).reshape(*codes.shape[:2], height, self.columns)

    @override
    def straight_through(self, x: Tensor) -> Tensor:
        half, step = 1 << (self.width - 1), self.step.float()
        return round_straight_through((x.float() / step).clamp(-half, half - 1)) * step

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"step": round(float(self.step), 6), "tables": len(self.tables.size)}


class ComponentLadder(Ladder):
    """What remains when the rotation is part of the convolution before: ẑ is stored by the first rung that fits, and
    `x̂ = U ẑ + μ` is read."""

    side = "before"

    def __init__(self, rungs: Sequence[Rung], allowed: int, height: int, expand: nn.Conv2d) -> None:
        super().__init__(rungs, allowed, height)
        self.expand = expand

    @override
    def decode_rows(self, stripe: Payload, head: Payload) -> Tensor:
        components = super().decode_rows(stripe, head).to(self.expand.weight.dtype)
        return self.expand(components)  # type: ignore[no-any-return]


class RotatedMap(Codec):
    """Codes `z = Uᵀ(x − μ)` before the nonlinearity; `x̂ = U ẑ + μ`. U (C, C): eigenvectors of the covariance."""

    side: ClassVar[Literal["before", "after"]] = "before"

    def __init__(self, project: nn.Conv2d, core: ComponentLadder) -> None:
        super().__init__()
        self.project = project
        self.core = core

    @override
    def encode(self, x: Tensor) -> Payload:
        return self.core.encode(self.project(x))

    @override
    def decode(self, payload: Payload) -> Tensor:
        return self.core.decode(payload)

    @override
    def fallbacks(self, payload: Payload) -> Tensor:
        return self.core.fallbacks(payload)

    @override
    def fold(self) -> Folded:
        return Folded(self.core, project=self.project)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return self.core.describe()


class RotatedInput(RotatedMap):
    """The rotated map behind the nonlinearity, for what a layer saves of its input."""

    side = "after"
