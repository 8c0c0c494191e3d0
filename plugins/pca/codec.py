"""The codec of rotated maps: one step for all components, and their symbols through an entropy coder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
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
        self.height, self.columns = sample.shape[2:]
        self.register_buffer("step", torch.tensor(step))
        self.calibrate(self.coefficients(sample))

    def calibrate(self, coefficients: Tensor) -> None:
        """Counts the tables on coefficients (images, bands, positions) of calibration images."""
        deviations = coefficients.square().mean((0, 2)).sqrt() / self.step
        self.tables = Tables(self.integers(coefficients), deviations)

    def coefficients(self, z: Tensor) -> Tensor:
        """What is rounded: components (batch, C, H, W) → bands (batch, bands, positions), here the components."""
        return z.float().flatten(2)

    def components(self, coefficients: Tensor, height: int) -> Tensor:
        """The components (batch, C, height, W) that have these coefficients (batch, bands, positions)."""
        rows: Tensor = coefficients.unflatten(2, (height, self.columns))
        return rows

    def rounded(self, scaled: Tensor) -> Tensor:
        """Integers of coefficients in steps."""
        return scaled.round()

    def values(self, codes: Tensor) -> Tensor:
        """The coefficients that integers (batch, bands, positions) stand for."""
        return codes * self.step.float()

    def positions(self, height: int) -> int:
        """How many coefficients a band of so many rows has."""
        return height * self.columns

    def codes(self, z: Tensor) -> Tensor:
        """The integers q: (batch, C, H, W) → (batch, bands, positions)."""
        return self.integers(self.coefficients(z.detach()))

    def integers(self, coefficients: Tensor) -> Tensor:
        """Integers of coefficients, clipped to `width` bits."""
        half = 1 << (self.width - 1)
        return self.rounded(coefficients / self.step.float()).clamp(-half, half - 1).int()

    def costs(self, z: Tensor) -> Tensor:
        """The bits (batch,) that the frequencies promise, with escaped values and the coder's start: strings' lengths
        but for rounding."""
        symbols, escaped = self.tables.symbols(self.codes(z))
        bits = self.tables.costs(symbols).sum((1, 2), dtype=torch.float64)
        return bits + self.width * escaped.sum((1, 2)) + START_BITS

    @override
    def most_bits(self, x: Tensor) -> Tensor:
        return self.costs(x).ceil().long()

    @override
    def encode(self, x: Tensor) -> Stream:
        codes, order = self.codes(x), self.tables.order
        symbols, escaped = self.tables.symbols(codes)
        coders = [Coder() for _ in codes]
        push_integers(coders, codes[escaped], escaped.sum((1, 2)), self.width)
        push(coders, symbols[:, order], self.tables.models())
        strings = strings_of(coders)
        return Stream(strings.bits.to(x.device), strings.lengths.to(x.device))

    @override
    def decode(self, stream: Stream, height: int) -> Tensor:
        coders, device = coders_of(stream), self.step.device
        symbols = pop(coders, self.tables.models(), self.positions(height)).to(device)
        codes, escaped = self.tables.codes(symbols[:, self.tables.order.argsort()])
        codes[escaped] = pop_integers(coders, escaped.sum((1, 2)), self.width).to(device)
        return self.components(self.values(codes), height).to(stream.bits.device)

    @override
    def straight_through(self, x: Tensor) -> Tensor:
        half, step = 1 << (self.width - 1), self.step.float()
        return round_straight_through((x.float() / step).clamp(-half, half - 1)) * step

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"step": round(float(self.step), 6), "tables": len(self.tables.size)}


class ComponentLadder(Ladder):
    """What remains when the rotation is part of the convolution before: ẑ is stored by the first rung that fits, and
    `x̂ = U ẑ + μ` is read. `planned`: the number of the rung with which most calibration images fit."""

    side = "before"

    def __init__(
        self, rungs: Sequence[Rung], allowed: int, height: int, expand: nn.Conv2d, *, planned: int = 0
    ) -> None:
        super().__init__(rungs, allowed, height)
        self.expand = expand
        self.planned = planned

    @override
    def fallbacks(self, payload: Payload) -> Tensor:
        return payload["rung"][:, 0] > self.planned

    @override
    def describe(self) -> dict[str, OptionValue]:
        return super().describe() | self.rungs[self.planned].describe()

    def components(self, stripe: Payload, head: Payload) -> Tensor:
        """The components ẑ (batch, C, rows, W) of a stripe."""
        return super().decode_rows(stripe, head).to(self.expand.weight.dtype)

    @override
    def decode_rows(self, stripe: Payload, head: Payload) -> Tensor:
        return self.expand(self.components(stripe, head))  # type: ignore[no-any-return]


class RotatedMap(Codec):
    """Codes `z = Uᵀ(x − μ)` before the nonlinearity; `x̂ = U ẑ + μ`. U (C, C): eigenvectors of the covariance."""

    side: ClassVar[Literal["before", "after"]] = "before"

    def __init__(self, project: nn.Conv2d, core: ComponentLadder) -> None:
        super().__init__()
        self.project = project
        self.core = core

    @property
    def decoder(self) -> nn.Conv2d:
        """`U ẑ + μ`."""
        return self.core.expand

    @property
    def width(self) -> int | None:
        """None: plain codes of the map would be no substitute for strings."""
        return None

    def read(self, x: Tensor) -> Tensor:
        """What the decoder reads of a batch x: its components ẑ."""
        payload = self.encode(x)
        return self.core.components(payload, payload)

    @override
    def encode(self, x: Tensor) -> Payload:
        return self.core.encode(self._projected(x))

    def encode_values(self, x: Tensor) -> Payload:
        """Stores the values that strings stand for."""
        return self.core.encode_values(self._projected(x))

    @override
    def decode(self, payload: Payload) -> Tensor:
        return self.core.decode(payload)

    @override
    def fallbacks(self, payload: Payload) -> Tensor:
        return self.core.fallbacks(payload)

    @override
    def fold(self) -> Folded:
        return Folded(self.core, project=self.project)

    def _projected(self, x: Tensor) -> Tensor:
        """The components, in fp64 on the way: in fp32 a convolution rounds otherwise for a batch of another size, and
        one code among thousands makes a string of another length."""
        weight, bias = self.project.weight.double(), self.project.bias
        return functional.conv2d(x.double(), weight, None if bias is None else bias.double()).float()

    @override
    def describe(self) -> dict[str, OptionValue]:
        return self.core.describe()


class RotatedInput(RotatedMap):
    """The rotated map behind the nonlinearity, for what a layer saves of its input."""

    side = "after"
