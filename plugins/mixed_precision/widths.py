"""A width for each group: the least total error under a ceiling, exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """Widths of the first few groups, the bits that they take together, and the error that they leave."""

    bits: int
    error: float
    widths: tuple[int, ...]


def best_widths(elements: Sequence[int], errors: Sequence[Mapping[int, float]], limit: int) -> Choice:
    """Minimises `Σ_g D_g(b_g)` subject to `Σ_g n_g·b_g ≤ limit` over one width for each group.

    `elements`: n_g, the values of each group; `errors`: D_g, the error at each possible width, where 0 drops the group.
    Lagrangian methods find the points on the convex hull of this problem; here, group by group, every choice is kept
    that no other beats in both bits and error, so that the result is the optimum, and its bits fall with the limit.
    """
    front = [Choice(0, 0.0, ())]
    for count, distortion in zip(elements, errors, strict=True):
        front = _undominated(
            Choice(choice.bits + count * width, choice.error + error, (*choice.widths, width))
            for choice in front
            for width, error in distortion.items()
            if choice.bits + count * width <= limit
        )
    return front[-1]


def _undominated(choices: Iterable[Choice]) -> list[Choice]:
    """The choices that no other beats in both bits and error: bits rising, error falling."""
    kept: list[Choice] = []
    for choice in sorted(choices, key=lambda choice: (choice.bits, choice.error)):
        if not kept or choice.error < kept[-1].error:
            kept.append(choice)
    return kept
