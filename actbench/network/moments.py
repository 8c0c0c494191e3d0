"""Moments of a tensor over all images, summed up batch by batch without a copy of a whole batch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

_VALUES_AT_ONCE = 1 << 20
"""Values that are copied at a time: they stay in a processor's cache, and sums of so many in fp32 lose little."""


class Moments:
    """Sums over the batches of one side of a map, in fp64: about the first batch's mean, as products of large values
    would drown the differences between them."""

    def __init__(self) -> None:
        self._shift: Tensor | None = None
        self._total = torch.zeros(())
        self._products = torch.zeros(())
        self._count = 0
        self.minimum, self.maximum = float("inf"), float("-inf")

    def add(self, x: Tensor) -> None:
        """Adds a batch (n, C, H, W)."""
        if self._shift is None:
            self._shift = x.mean((0, 2, 3), dtype=torch.float32)
        for part in _parts(x):
            columns = part.transpose(0, 1).flatten(1).float()
            low, high = columns.aminmax()
            self.minimum, self.maximum = min(self.minimum, float(low)), max(self.maximum, float(high))
            columns = columns - self._shift[:, None]
            self._total = self._total + columns.sum(1).double().cpu()
            self._products = self._products + (columns @ columns.T).double().cpu()
            self._count += columns.shape[1]

    def sums(self) -> tuple[Tensor, Tensor, int]:
        """The sum of all positions (C,), of their products (C, C), and their number."""
        assert self._shift is not None
        shift, count = self._shift.double().cpu(), self._count
        cross = torch.outer(shift, self._total)
        products = self._products + cross + cross.T + count * torch.outer(shift, shift)
        return self._total + count * shift, products, count


def _parts(x: Tensor) -> Iterator[Tensor]:
    """Views of a batch (n, C, H, W): some images, or some rows of one."""
    _, channels, height, width = x.shape
    images = max(1, _VALUES_AT_ONCE // (channels * height * width))
    rows = max(1, _VALUES_AT_ONCE // (channels * width))
    for some in x.split(images):
        yield from some.split(rows, dim=2)
