"""The transforms that can stand before the selection: Haar, any other wavelet of PyWavelets, or none at all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy
import pywt
import torch
from torch import Tensor, nn

from actbench import UserError
from actbench_plugins.wcc import haar

HAAR_OPERATIONS = 32
"""Bit operations of one level of Haar a value, forward or inverse: 8·4 in the paper's count of BOPs."""


class Transform(nn.Module, ABC):
    """A linear, invertible map of a padded plane, height × width, to flat coefficients."""

    by_rows: ClassVar[bool] = False
    """Whether 2^levels rows are transformed by themselves: the coefficients of a plane are then those of its rows, one
    below the other, and `forward` and `inverse` take planes of fewer rows as well."""

    def __init__(self, height: int, width: int, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.height, self.width = haar.padded_size(height, width, levels)

    @property
    def positions(self) -> int:
        """The number of positions of the padded plane."""
        return self.height * self.width

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """The coefficients: (batch, C, height, width) → (batch, C, positions)."""

    @abstractmethod
    def inverse(self, coefficients: Tensor) -> Tensor:
        """The plane of these coefficients, which may be overwritten: (batch, C, positions) → (batch, C, height,
        width)."""

    def coarsest_first(self) -> Tensor:
        """The positions (positions,), those of the coarsest band first."""
        return torch.arange(self.positions)

    def operations(self, channels: int) -> int:
        """Bit operations, forward and inverse, beyond the products that a FLOP counter sees."""
        return 0


class Haar(Transform):
    """The paper's transform: orthonormal Haar wavelets, in butterflies."""

    by_rows = True

    def forward(self, x: Tensor) -> Tensor:
        return haar.forward(x, self.levels)

    def inverse(self, coefficients: Tensor) -> Tensor:
        return haar.inverse(coefficients, self.width, self.levels, overwrite=True)

    def coarsest_first(self) -> Tensor:
        return haar.coarsest_first(self.height, self.width, self.levels)

    def operations(self, channels: int) -> int:
        values = channels * self.positions
        return 2 * sum(HAAR_OPERATIONS * (values >> (2 * level)) for level in range(self.levels))


class FilterBank(Transform):
    """Another wavelet, as one matrix a level and side, with periodic borders: then every even size has an exact
    inverse, and an orthogonal wavelet an orthogonal matrix. The coarsest band comes first. Dense products: right, not
    fast."""

    def __init__(self, height: int, width: int, levels: int, wavelet: str) -> None:
        super().__init__(height, width, levels)
        sizes = {size >> level for size in (self.height, self.width) for level in range(levels)}
        for size in sizes:
            analysis, synthesis = _matrices(wavelet, size)
            self.register_buffer(f"analysis_{size}", analysis)
            self.register_buffer(f"synthesis_{size}", synthesis)

    def forward(self, x: Tensor) -> Tensor:
        bands: list[Tensor] = []
        for _ in range(self.levels):
            height, width = x.shape[2] // 2, x.shape[3] // 2
            y = self._matrix("analysis", 2 * height, x) @ x @ self._matrix("analysis", 2 * width, x).T
            x, down = y[:, :, :height, :width], y[:, :, height:, :width]
            bands = [down, y[:, :, :height, width:], y[:, :, height:, width:], *bands]
        return torch.cat([band.flatten(2) for band in [x, *bands]], dim=2)

    def inverse(self, coefficients: Tensor) -> Tensor:
        height, width = self.height >> self.levels, self.width >> self.levels
        position = height * width
        x: Tensor = coefficients[:, :, :position].unflatten(2, (height, width))
        for _ in range(self.levels):
            end = position + 3 * height * width
            down, across, diagonal = coefficients[:, :, position:end].unflatten(2, (3, height, width)).unbind(2)
            y = torch.cat([torch.cat([x, across], 3), torch.cat([down, diagonal], 3)], 2)
            position, height, width = end, 2 * height, 2 * width
            x = self._matrix("synthesis", height, y) @ y @ self._matrix("synthesis", width, y).T
        return x

    def _matrix(self, kind: str, size: int, like: Tensor) -> Tensor:
        return self.get_buffer(f"{kind}_{size}").to(like.dtype)


class NoTransform(Transform):
    """No transform but the map's values themselves: a control."""

    by_rows = True

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2)

    def inverse(self, coefficients: Tensor) -> Tensor:
        plane: Tensor = coefficients.unflatten(2, (-1, self.width))
        return plane


def build(wavelet: str, height: int, width: int, levels: int) -> Transform:
    """The transform of a name. Raises UserError where PyWavelets has no such discrete wavelet."""
    if wavelet == "none":
        return NoTransform(height, width, 0)
    levels = haar.usable_levels(height, width, levels)
    if wavelet == "haar":
        return Haar(height, width, levels)
    if wavelet not in pywt.wavelist(kind="discrete"):
        raise UserError(f"wcc.wavelet={wavelet!r}: give none, haar or a name of pywt.wavelist(kind='discrete')")
    return FilterBank(height, width, levels, wavelet)


def _matrices(wavelet: str, size: int) -> tuple[Tensor, Tensor]:
    """The analysis matrix (size, size), the low half first, and its inverse."""
    low, high = pywt.dwt(numpy.eye(size), wavelet, mode="periodization", axis=0)
    analysis = torch.from_numpy(numpy.concatenate([low, high]))
    synthesis: Tensor = torch.linalg.inv(analysis)
    return analysis.float(), synthesis.float()
