"""The width of each group's codes: how little is lost in so many bits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

GROUP = 256
WIDTH_BITS, COUNT_BITS = 4, 32
_END_BITS = 16
_HALVINGS = 40
_RANGE = 1e-12
"""A threshold is searched down to this share of the largest that matters."""


class Rule(ABC):
    """Gives each group a width, 0 or one of `coded`, by a threshold: the higher it is, the narrower."""

    stochastic: ClassVar[bool]

    def __init__(self, coded: Sequence[int]) -> None:
        self.coded = tuple(sorted(coded))
        self.choices = torch.tensor([0, *self.coded])
        self.costs = WIDTH_BITS + _END_BITS + torch.where(self.choices > 0, _END_BITS + GROUP * self.choices, 0)

    @abstractmethod
    def errors(self, groups: Tensor, span: Tensor) -> Tensor:
        """What groups (n, 256) with ranges (n, 1) lose with each width → (n, widths)."""

    @abstractmethod
    def highest(self, errors: Tensor) -> Tensor:
        """A threshold from which on no group has codes."""

    @abstractmethod
    def chosen(self, errors: Tensor, threshold: Tensor) -> Tensor:
        """The numbers (n,) of the widths that groups have at a threshold."""

    def widths(self, errors: Tensor, most: int) -> Tensor:
        """The widths (n,) with the lowest threshold at which the groups have at most `most` bits; all 0 where none
        has."""
        return self.choices.to(errors.device)[self._chosen_within(errors, most)]

    def bits(self, errors: Tensor, most: int) -> Tensor:
        """Bits (n,) of each group with the widths that `widths` gives them."""
        return self.costs.to(errors.device)[self._chosen_within(errors, most)]

    def _chosen_within(self, errors: Tensor, most: int) -> Tensor:
        costs, high = self.costs.to(errors.device), self.highest(errors)
        low, best = high * _RANGE, self.chosen(errors, high)
        for _ in range(_HALVINGS):
            middle = (low * high).sqrt()
            chosen = self.chosen(errors, middle)
            if int(costs[chosen].sum()) + COUNT_BITS <= most:
                high, best = middle, chosen
            else:
                low = middle
        return best


class LeastVariance(Rule):
    """The least sum of variances that stochastic rounding adds, `256·r²/(6·(2^w − 1)²)` for a group in codes, and the
    squared error of its mean without; a threshold is the error that a bit must save (after ActNN, section 4)."""

    stochastic = True

    @override
    def errors(self, groups: Tensor, span: Tensor) -> Tensor:
        levels = (1 << self.choices[1:].to(span.device)) - 1
        alone = (groups - groups.mean(1, keepdim=True)).square().sum(1, keepdim=True)
        return torch.cat([alone, GROUP / 6 * (span.float() / levels).square()], 1)

    @override
    def highest(self, errors: Tensor) -> Tensor:
        return (errors[:, 0].amax() / _END_BITS).clamp_min(1e-30)

    @override
    def chosen(self, errors: Tensor, threshold: Tensor) -> Tensor:
        return (errors + threshold * self.costs.to(errors.device)).argmin(1)


class LeastBound(Rule):
    """The least bound on the error of any value, `r/(2·(2^w − 1))` in codes, and the largest distance to the
    mean without; a threshold is the bound, and a group has the narrowest codes that hold it."""

    stochastic = False

    @override
    def errors(self, groups: Tensor, span: Tensor) -> Tensor:
        levels = (1 << self.choices[1:].to(span.device)) - 1
        alone = (groups - groups.mean(1, keepdim=True)).abs().amax(1, keepdim=True)
        return torch.cat([alone, span.float() / (2 * levels)], 1)

    @override
    def highest(self, errors: Tensor) -> Tensor:
        return errors[:, 0].amax().clamp_min(1e-30)

    @override
    def chosen(self, errors: Tensor, threshold: Tensor) -> Tensor:
        return (errors > threshold).long().cumprod(1).sum(1).clamp_max(errors.shape[1] - 1)
