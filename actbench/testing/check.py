"""What a check is, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actbench.testing.subject import Subject


class Failed(AssertionError):
    """The method does not hold to it. The message says what was seen, and where."""


class Skipped(Exception):
    """The check does not apply; the message says why."""


@dataclass(frozen=True)
class Check:
    """A numbered rule. `explanation`: why it is there, and what to do; the documentation has a section for each."""

    number: int
    name: str
    run: Callable[[Subject], None]

    @property
    def explanation(self) -> str:
        """In a sentence or two."""
        return " ".join((self.run.__doc__ or "").split())

    def __str__(self) -> str:
        return f"{self.number:02}-{self.name}"


def expect(holds: bool, message: str) -> None:
    """Raises Failed with the message where something does not hold."""
    if not holds:
        raise Failed(message)
