"""How a cell ended, and who is told how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Progress = Callable[[str, int, int], None]
"""The step, and how much of it is done, of how much."""


@dataclass
class Outcome:
    """How a cell ended. `measurements` in the form of the record."""

    status: str = "ok"
    reason: str = ""
    measurements: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
