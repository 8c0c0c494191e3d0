"""Ranks that say no more than the measurements do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actbench.leaderboard.significance import LEVEL, Sample, corrected_chances


@dataclass(frozen=True)
class Rank:
    """A row's place. `paired`: whether it was compared with the first row of a rank on the same images. `chance`: the
    corrected p-value of that comparison, 1 for the best row."""

    number: int
    paired: bool = True
    chance: float = 1.0


def shared_ranks(samples: Sequence[Sample], sign: int = 1) -> list[Rank]:
    """The rank of each row by quality, larger being better, or smaller with the sign −1. The best row opens rank 1: of
    several with the same value the one with the least error, and of these the first. In falling order, each row has the
    rank of the one before, unless it differs from the row that opened it; then it opens the next, which counts all rows
    before it."""
    order = sorted(range(len(samples)), key=lambda index: (-sign * samples[index].value, samples[index].error))
    chances = corrected_chances(samples)
    ranks: dict[int, Rank] = {}
    number, leader = 1, order[0] if order else 0
    for place, index in enumerate(order, 1):
        paired = index == leader or samples[index].is_paired_with(samples[leader])
        chance = chances.get(frozenset((leader, index)), 1.0)
        if chance <= LEVEL:
            number, leader = place, index
        ranks[index] = Rank(number, paired, chance)
    return [ranks[index] for index in range(len(samples))]
