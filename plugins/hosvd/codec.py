"""A map stored as the core and the factors of its own decomposition."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from actbench.codec import Codec, FeatureMap, Field, Payload, UniformQuantizer, floating, unsigned
from actbench.codec.quantizers import at_least_fp32
from actbench.feature_map import FLOAT_BITS
from actbench.info import OptionValue
from actbench_plugins.hosvd.decomposition import mode_product
from actbench_plugins.hosvd.iteration import iterated_factors, sizes_of_eigenproblems
from actbench_plugins.hosvd.ranks import Ranks
from actbench_plugins.hosvd.scales import SeparableScales

MODES = ("channels", "rows", "columns")

_RIDGE = 1e-5


class DecomposedMap(Codec):
    """Stores a truncated HOSVD of each image's (C, H, W) map: a core (K_1, K_2, K_3) and of each truncated mode a
    factor (n_i, K_i), all in `width`-bit codes or all in fp32: `width·(K_1·K_2·K_3 + Σ n_i·K_i)` bits.

    With `sweeps` the factors are improved so often by HOOI. With the factors quantised first, the core is the
    least-squares one for what `decode` will read. Its entries are divided by static scales, a vector for each mode, and
    share one clip. A map that is not negative is decoded with a ReLU. Gradients pass through the core, the factors
    being constants.
    """

    def __init__(self, fmap: FeatureMap, ranks: Ranks, sweeps: int = 0) -> None:
        super().__init__()
        self.ranks = ranks
        self.sweeps = sweeps
        self.nonnegative = fmap.nonnegative
        self.factor_quantizers = nn.ModuleDict()
        self.core_quantizer: UniformQuantizer | None = None
        self.scales: SeparableScales | None = None

    @classmethod
    def calibrated(cls, fmap: FeatureMap, ranks: Ranks, width: int, sample: Tensor, sweeps: int = 0) -> DecomposedMap:
        """The codec whose clips have the least squared error on the sample; `width` 32 means no quantisation."""
        codec = cls(fmap, ranks, sweeps)
        if width == FLOAT_BITS:
            return codec
        factors = codec._factors(sample)
        for name, factor in factors.items():
            quantizer = UniformQuantizer.calibrated(width, factor)
            codec.factor_quantizers[name] = quantizer.requires_grad_(False)
        core = codec._core(sample, codec._quantised(factors))
        codec.scales = SeparableScales(core)
        codec.core_quantizer = UniformQuantizer.calibrated(width, core / codec.scales(core))
        return codec

    @override
    def encode(self, x: Tensor) -> Payload:
        exact = at_least_fp32(x)
        factors = self._factors(exact)
        core = self._core(exact, self._quantised(factors))
        core = core if self.scales is None else core / self.scales(core)
        fields = {name: self._field(factor, name, x.dtype) for name, factor in factors.items()}
        return Payload(core=self._field(core, None, x.dtype), **fields)

    @override
    def decode(self, payload: Payload) -> Tensor:
        x = self._value(payload["core"], None)
        x = x if self.scales is None else x * self.scales(x)
        for name in self._truncated:
            x = mode_product(x, self._value(payload[name], name), MODES.index(name))
        return (x.relu() if self.nonnegative else x).to(payload["core"].dtype)

    @override
    def describe(self) -> dict[str, OptionValue]:
        width = self.core_quantizer.width if self.core_quantizer else FLOAT_BITS
        ranks: dict[str, OptionValue] = {mode: rank or "full" for mode, rank in zip(MODES, self.ranks, strict=True)}
        sweeps: dict[str, OptionValue] = {"sweeps": self.sweeps} if self.sweeps else {}
        return ranks | {"bits": width} | sweeps

    @override
    def operations(self, shape: tuple[int, int, int]) -> int:
        """Eigenvectors of Gram matrices, 9·r³ floating-point operations each (Golub, Van Loan), as fp32 products."""
        sizes = sizes_of_eigenproblems(shape, self.ranks, self.sweeps)
        return sum(9 * r**3 for r in sizes) * FLOAT_BITS**2 // 2

    @property
    def _truncated(self) -> list[str]:
        return [name for name, rank in zip(MODES, self.ranks, strict=True) if rank is not None]

    def _factors(self, x: Tensor) -> dict[str, Tensor]:
        factors = iterated_factors(x, self.ranks, self.sweeps)
        return {name: factor for name, factor in zip(MODES, factors, strict=True) if factor is not None}

    @torch.no_grad()
    def _quantised(self, factors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The factors as `decode` will read them."""
        if not self.factor_quantizers:
            return factors
        return {name: self.factor_quantizers[name](factor) for name, factor in factors.items()}

    def _core(self, x: Tensor, factors: dict[str, Tensor]) -> Tensor:
        for name, factor in factors.items():
            matrix = least_squares_inverse(factor) if self.factor_quantizers else factor.mT
            x = mode_product(x, matrix, MODES.index(name))
        return x

    def _quantizer(self, name: str | None) -> UniformQuantizer | None:
        """The quantiser of the factor of this name, or of the core for None."""
        if name is None or not self.factor_quantizers:
            return self.core_quantizer
        return self.factor_quantizers[name]  # type: ignore[return-value]

    def _field(self, values: Tensor, name: str | None, dtype: torch.dtype) -> Field:
        quantizer = self._quantizer(name)
        if quantizer is None:
            return floating(values.to(dtype))
        codes = quantizer.encode(values)
        # The codes' type tells `decode` the map's; half precision holds codes exactly up to 8 bits.
        return unsigned(codes.to(dtype) if quantizer.width <= 8 else codes, quantizer.width)

    def _value(self, stored: Tensor, name: str | None) -> Tensor:
        quantizer = self._quantizer(name)
        exact = at_least_fp32(stored)
        return exact if quantizer is None else quantizer.decode(exact)


def least_squares_inverse(factor: Tensor) -> Tensor:
    """The left inverse of a factor that quantisation has made less than orthonormal, (batch, n, k) → (batch, k, n):
    `(UᵀU + ε·I)⁻¹ Uᵀ`, where ε keeps it bounded where columns have become alike."""
    gram = factor.mT @ factor
    ridge = _RIDGE * torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    solution: Tensor = torch.linalg.solve(gram + ridge, factor.mT)
    return solution
