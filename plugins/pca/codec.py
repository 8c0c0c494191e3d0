"""The codec of rotated maps: one step for all components, and their symbols through the range coder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy
import torch
from torch import Tensor, nn
from typing_extensions import override

from actbench.codec import Codec, Folded, Payload
from actbench.codec.bit_strings import Stream, code_type, from_bits, join, to_bits
from actbench.codec.rate_control import Ladder, Rung
from actbench.info import OptionValue
from actbench_plugins.pca import range_coder
from actbench_plugins.pca.range_coder import PRECISION, STATE_BITS, WORD_BITS
from actbench_plugins.pca.tables import Tables


class CodedComponents(Rung):
    """Stores `q = round(z / step)`, clipped to `width` bits, of components z (batch, C, H, W); `ẑ = q·step`.

    A string is the range coder's, and then `width` bits of each escaped value, in the order of the values.
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
        """The bits (batch,) that the frequencies promise, `Σ log2(2^14 / f)`, with states and escapes: strings' lengths
        but for the coder's rounding and what the states carry."""
        symbols, escaped = self.tables.symbols(self.codes(z))
        bits = PRECISION - self.tables.frequency.float().log2()
        states = STATE_BITS * range_coder.states_for(symbols[0].numel())
        return bits[symbols].sum((1, 2), dtype=torch.float64) + self.width * escaped.sum((1, 2)) + states

    @override
    def encode(self, x: Tensor) -> Stream:
        codes = self.codes(x)
        symbols, escaped = self.tables.symbols(codes)
        flat = symbols.flatten(1).cpu().numpy()
        states, words, counts = range_coder.encode(flat, *self.tables.frequencies())
        coded = join(
            _stream(states, STATE_BITS, numpy.full(len(states), states.shape[1])), _stream(words, WORD_BITS, counts)
        )
        raw = (codes[escaped] & ((1 << self.width) - 1)).cpu().numpy()
        string = join(coded, _stream(raw, self.width, escaped.sum((1, 2)).cpu().numpy()))
        return Stream(string.bits.to(x.device), string.lengths.to(x.device))

    @override
    def decode(self, stream: Stream, height: int) -> Tensor:
        device, string = stream.bits.device, Stream(stream.bits.cpu(), stream.lengths.cpu())
        symbols, read = self._symbols(string, height * self.columns)
        codes, escaped = self.tables.codes(symbols.to(self.tables.group.device))
        _, raw = string.divide(read)
        values = from_bits(raw.bits.reshape(-1, self.width), self.width).int()
        signed = values - ((values >> (self.width - 1)) << self.width)
        codes[escaped] = signed.to(codes.device)
        return (codes * self.step.float()).to(device).reshape(*codes.shape[:2], height, self.columns)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"step": round(float(self.step), 6), "tables": len(self.tables.size)}

    def _symbols(self, string: Stream, positions: int) -> tuple[Tensor, Tensor]:
        """The symbols (batch, C, positions), and how many bits of each string they took."""
        contexts = self.tables.group.cpu().numpy().astype(numpy.int64).repeat(positions)
        head = STATE_BITS * range_coder.states_for(len(contexts))
        states, behind_states = string.divide(torch.full_like(string.lengths, head))
        counts = behind_states.lengths // WORD_BITS
        coded = behind_states.divide(counts * WORD_BITS)[0]
        words = from_bits(coded.bits.reshape(-1, WORD_BITS), WORD_BITS).long().numpy()
        state = from_bits(states.bits.reshape(len(counts), head // STATE_BITS, STATE_BITS), STATE_BITS).numpy()
        starts = (counts.cumsum(0) - counts).numpy()
        symbols, read = range_coder.decode(state, words, starts, contexts, self.tables.slots())
        return torch.from_numpy(symbols).unflatten(1, (-1, positions)), head + WORD_BITS * torch.from_numpy(read)


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


def _stream(values: range_coder.Integers, width: int, counts: range_coder.Integers) -> Stream:
    """The stream of all images' integers in `width` bits, `counts` of them for each image."""
    bits = to_bits(torch.from_numpy(values).flatten().to(code_type(width)), width).flatten()
    return Stream(bits, width * torch.from_numpy(counts).long())
