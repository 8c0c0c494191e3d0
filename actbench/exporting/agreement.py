"""Does what was written compute what the deployed network computes?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

TOLERANCE = 0.01
"""Root mean square by which outputs may differ, as a share of the largest output: sums in another order turn a code
here and there, by a whole step, and what is behind it."""

LARGEST = 0.2
"""The most by which any one may differ: that of an image in which a coarse code was turned."""

TIE = 0.05
"""What makes no difference between two outputs, as a share of the largest output."""

Network = Callable[[Tensor], Any]
"""Images (n, C, H, W) to outputs."""


class OtherOutputs(Exception):
    """What was written does not compute what the deployed network does; nothing is left of it."""


@dataclass(frozen=True)
class Agreement:
    """Outputs of two networks on the same images. `top1`: how often the largest output along dimension 1 is compared,
    once for each image or pixel; `ties`: where both have another, but as large within the tolerance; `others`: where
    one is larger. `difference`: the largest, and `typical` the root mean square, as shares of the largest output."""

    images: int
    top1: int
    ties: int
    others: int
    difference: float
    typical: float

    @property
    def holds(self) -> bool:
        """Whether one can stand for the other."""
        return self.others == 0 and self.difference <= LARGEST and self.typical <= TOLERANCE

    def __str__(self) -> str:
        same = f"top-1 is the same in {self.top1 - self.ties - self.others:,} of {self.top1:,}"
        exceptions = [f"{self.ties:,} ties"] * bool(self.ties) + [f"{self.others:,} others"] * bool(self.others)
        return (
            f"{self.images:,} images: {', '.join([same, *exceptions])}; outputs differ by {self.difference:.2g} of the "
            f"largest at most (allowed {LARGEST:g}), by {self.typical:.2g} in the root mean square ({TOLERANCE:g})"
        )


@torch.no_grad()
def compare(deployed: Network, written: Network, batches: Iterable[Tensor]) -> Agreement:
    """Compares a written network with the deployed one, on batches of images."""
    images, largest = 0, 0.0
    differences, squares, margins = [0.0], [0.0], []
    for batch in batches:
        expected, given = tree_leaves(deployed(batch)), tree_leaves(written(batch))
        images += len(batch)
        for one, other in zip(expected, given, strict=True):
            difference = one.double() - other.double()
            largest = max(largest, float(one.abs().max()))
            differences.append(float(difference.abs().max().nan_to_num(torch.inf)))
            squares.append(float(difference.square().mean()) * len(batch))
        margins.append(_margins(expected[0], given[0]))
    lost = torch.cat(margins)
    scale = largest or 1.0
    ties = int(((lost > 0) & (lost <= TIE * scale)).sum())
    others = int((lost > TIE * scale).sum())
    typical = (sum(squares) / max(1, images)) ** 0.5
    return Agreement(images, len(lost), ties, others, max(differences) / scale, typical / scale)


def _margins(expected: Tensor, given: Tensor) -> Tensor:
    """How much smaller than the largest output, along dimension 1, the one is that the other network takes for it: 0
    where both take the same."""
    if expected.dim() < 2 or expected.shape[1] < 2:
        return expected.new_zeros(0)
    taken = expected.gather(1, given.argmax(1, keepdim=True))
    return (expected.amax(1, keepdim=True) - taken).flatten()
