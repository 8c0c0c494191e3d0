"""Check: what one is, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actbench.testing.subject import Subject


class Failed(AssertionError):
    """Failure of a method to hold to a check. The message says what was seen, and where."""


class Skipped(Exception):
    """Note that a check does not apply; the message says why."""


@dataclass(frozen=True)
class Check:
    """A numbered rule, and the function that tries it on a method. The documentation has a section for each."""

    number: int
    name: str
    run: Callable[[Subject], None]

    @property
    def explanation(self) -> str:
        """Rule in a sentence or two: what has to hold, and why."""
        return " ".join((self.run.__doc__ or "").split())

    def __str__(self) -> str:
        return f"{self.number:02}-{self.name}"


def expect(holds: bool, message: str) -> None:
    """Raises Failed with the message where something does not hold."""
    if not holds:
        raise Failed(message)
