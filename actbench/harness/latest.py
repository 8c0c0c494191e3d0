"""What is made for a seed and kept until another seed is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Latest(Generic[Made]):
    """Makes something for a seed, and keeps it for those who ask for the same one; one is in memory at a time."""

    def __init__(self, make: Callable[[int], Made]) -> None:
        self._make = make
        self._kept: dict[int, Made] = {}

    def __call__(self, seed: int) -> Made:
        """What is made for a seed."""
        if seed not in self._kept:
            self._kept.clear()  # before another is made
            self._kept[seed] = self._make(seed)
        return self._kept[seed]
