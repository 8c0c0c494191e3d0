"""How core and factors of a saved decomposition are stored: as they are, or in codes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from actbench.codec import Field, Payload, UniformQuantizer, floating, unsigned
from actbench.codec.quantizers import at_least_fp32, thin
from actbench.feature_map import FLOAT_BITS
from actbench_plugins.hosvd.codec import least_squares_inverse
from actbench_plugins.hosvd.decomposition import Decomposition, project

RANK_BITS = 32
_SCALE_BITS, _CLIP_BITS = 16, 64
_SAMPLE = 1 << 12
_AT_ONCE = 4
_SMALLEST = 1e-6
_FRACTIONS = torch.logspace(0, -8, 81)
_NEARBY = torch.logspace(-0.7, 0.7, 29)


class Floats:
    """Stores core and factors in the tensor's own type, as the papers do."""

    width = FLOAT_BITS

    def bits(self, sizes: Sequence[int], ranks: Sequence[int]) -> int:
        """Bits of a decomposition of a tensor (n_0, n_1, …) with ranks K_0, K_1, …, which are stored with it:
        `width·(Π K_i + Σ n_i·K_i)` and 32 a rank."""
        factors = sum(size * rank for size, rank in zip(sizes, ranks, strict=True))
        return self.width * (math.prod(ranks) + factors) + RANK_BITS * len(ranks)

    def fields(self, x: Tensor, factors: Sequence[Tensor]) -> dict[str, Field]:
        """What is stored of x (1, n_0, …) with orthonormal factors (1, n_i, K_i)."""
        stored = {"core": project(at_least_fp32(x), factors)} | _numbered("factor", factors)
        return {name: floating(tensor.to(x.dtype)) for name, tensor in stored.items()}

    def decomposition(self, payload: Payload) -> Decomposition:
        """The stored decomposition, with a first dimension of 1, in fp32 or fp64."""
        factors = tuple(at_least_fp32(payload[name]) for name in _factors(payload))
        return Decomposition(at_least_fp32(payload["core"]), factors)

    def raw_bits(self, elements: int) -> int:
        """Bits of a tensor of so many values as it is."""
        return self.width * elements

    def raw(self, x: Tensor) -> dict[str, Field]:
        """What is stored of x (1, n_0, …) as it is."""
        return {"raw": floating(x)}

    def raw_values(self, payload: Payload) -> Tensor:
        """The tensor that `raw` stored."""
        return payload["raw"]


class Codes(Floats):
    """Stores core and factors in `width`-bit codes, with the ends of the core's clip in fp32, and a scale in bfloat16
    for each column of a factor.

    A column is divided by its largest magnitude, so that codes from −1 to 1 hold any. The core is the least-squares one
    for the factors as they will be read. Its entries differ by orders of magnitude: it is divided by its largest one,
    and for each mode by the norms of its slices, relative to the largest. These are the scales; in decoding they belong
    to the columns. The clip has the least squared error of the tensor.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._columns = self._quantizer(-1.0, 1.0)

    @override
    def bits(self, sizes: Sequence[int], ranks: Sequence[int]) -> int:
        return super().bits(sizes, ranks) + _SCALE_BITS * sum(ranks) + _CLIP_BITS

    @override
    def fields(self, x: Tensor, factors: Sequence[Tensor]) -> dict[str, Field]:
        codes = [self.factor_codes(factor) for factor in factors]
        read = [self.factor_values(code) for code in codes]
        core = project(at_least_fp32(x), read, least_squares_inverse)
        scales = _scales(core)
        fields = self._coded("core", _relative(core, scales), _weights(scales, read), x.dtype)
        fields |= {name: self._field(code, x.dtype) for name, code in _numbered("factor", codes).items()}
        return fields | {name: floating(scale, side=True) for name, scale in _numbered("scale", scales).items()}

    @override
    def decomposition(self, payload: Payload) -> Decomposition:
        names = _factors(payload)
        scales = (payload[name.replace("factor", "scale")] for name in names)
        factors = (self.factor_values(at_least_fp32(payload[name])) for name in names)
        scaled = tuple(factor * scale.to(factor.dtype)[:, None] for factor, scale in zip(factors, scales, strict=True))
        return Decomposition(self._decoded("core", payload), scaled)

    @override
    def raw_bits(self, elements: int) -> int:
        return self.width * elements + _CLIP_BITS

    @override
    def raw(self, x: Tensor) -> dict[str, Field]:
        exact = at_least_fp32(x)
        return self._coded("raw", exact, torch.ones_like(exact), x.dtype)

    @override
    def raw_values(self, payload: Payload) -> Tensor:
        return self._decoded("raw", payload).to(payload["raw"].dtype)

    def factor_codes(self, factor: Tensor) -> Tensor:
        """Codes of a factor's columns, each divided by its largest magnitude."""
        largest = factor.abs().amax(1, keepdim=True).clamp_min(_SMALLEST)
        return self._columns.encode(factor / largest)

    def factor_values(self, codes: Tensor) -> Tensor:
        """The columns that codes stand for, without their scales."""
        return self._columns.decode(codes)

    def _coded(self, name: str, values: Tensor, weights: Tensor, dtype: torch.dtype) -> dict[str, Field]:
        clip = weighted_clip(values, weights, self.width)
        field = self._field(self._quantizer(*clip.tolist()).encode(values), dtype)
        return {name: field, "clip": floating(clip[None], side=True)}

    def _decoded(self, name: str, payload: Payload) -> Tensor:
        return self._quantizer(*payload["clip"][0].tolist()).decode(at_least_fp32(payload[name]))

    def _field(self, codes: Tensor, dtype: torch.dtype) -> Field:
        # The codes' type tells `decode` the map's; half precision holds codes exactly up to 8 bits.
        return unsigned(codes.to(dtype) if self.width <= 8 else codes, self.width)

    def _quantizer(self, low: float, high: float) -> UniformQuantizer:
        return UniformQuantizer(self.width, low, high).requires_grad_(False)


@torch.no_grad()
def _scales(core: Tensor) -> list[Tensor]:
    """The scales (1, K_i) in bfloat16 of each mode of a core (1, K_0, K_1, …), its largest magnitude among mode 0's."""
    largest = core.abs().amax().clamp_min(1e-30)
    relative, modes = core / largest, range(1, core.dim())
    norms = [relative.square().sum([other for other in modes if other != mode]).sqrt() for mode in modes]
    scales = [(norm / norm.amax().clamp_min(1e-30)).clamp_min(_SMALLEST) for norm in norms]
    return [(scale * largest if mode == 0 else scale).bfloat16() for mode, scale in enumerate(scales)]


def _relative(core: Tensor, scales: Sequence[Tensor]) -> Tensor:
    """A core divided by its scales, one mode's after the other's: their product may vanish."""
    for mode, scale in enumerate(scales):
        core = core / scale.to(core.dtype).reshape(-1, *[1] * (core.dim() - 2 - mode))
    return core


def _weights(scales: Sequence[Tensor], factors: Sequence[Tensor]) -> Tensor:
    """By how much the tensor is off for an error of each of a scaled core's entries, (1, K_0, K_1, …), all but for a
    constant: the products of the scales and of the norms of the columns, which are nearly orthogonal."""
    product = factors[0].new_ones(1)
    for scale, factor in zip(scales, factors, strict=True):
        weight = scale[0].to(factor.dtype) * factor[0].norm(dim=0)
        product = product[..., None] * (weight / weight.amax().clamp_min(1e-30))
    return product


@torch.no_grad()
def weighted_clip(values: Tensor, weights: Tensor, width: int) -> Tensor:
    """Searches the ends (2,) fp32 of the uniform quantiser with the least `Σ (weight·error)²` on values (any shape)
    with weights (the same): the range drawn in by one fraction, then each end by its own."""
    values, weights = _thinned(values.flatten().float(), weights.flatten().float())
    ends, fractions = torch.stack([values.min(), values.max()]), _FRACTIONS.to(values)
    candidates = ends * fractions[:, None]
    ends = candidates[_errors(values, weights, candidates, width).argmin()]
    for end in range(2):
        candidates = ends.repeat(len(_NEARBY), 1)
        candidates[:, end] *= _NEARBY.to(values)
        ends = candidates[_errors(values, weights, candidates, width).argmin()]
    return ends


def _thinned(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The values (n,) that count most, and some of all others, with the weight of those that they stand for."""
    if len(values) <= _SAMPLE:
        return values, weights
    largest = (values * weights).abs().topk(_SAMPLE // 2).indices
    others = torch.ones_like(values, dtype=torch.bool).index_fill(0, largest, False).nonzero()[:, 0]
    some = thin(others, _SAMPLE // 2)
    chosen = torch.cat([largest, some])
    counted = weights[some] * (len(others) / len(some)) ** 0.5
    return values[chosen], torch.cat([weights[largest], counted])


def _errors(values: Tensor, weights: Tensor, clips: Tensor, width: int) -> Tensor:
    """The weighted squared errors (n,) of clips (n, 2), a few at a time: what a step needs beside payloads counts."""
    return torch.cat([_errors_of_few(values, weights, some, width) for some in clips.split(_AT_ONCE)])


def _errors_of_few(values: Tensor, weights: Tensor, clips: Tensor, width: int) -> Tensor:
    low, high = clips[:, :1], clips[:, 1:]
    step = ((high - low) / ((1 << width) - 1)).clamp_min(1e-12)
    decoded = ((values.clamp(low, high) - low) / step).round() * step + low
    return ((decoded - values) * weights).square().sum(1)


def _numbered(name: str, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f"{name}{number}": tensor for number, tensor in enumerate(tensors)}


def _factors(payload: Payload) -> list[str]:
    return sorted(name for name in payload if name.startswith("factor"))
