"""How a cell ended, and who is told how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from actbench.records.measurements import Measurements
from actbench.records.record import Status

Progress = Callable[[str, int, int], None]
"""The step, and how much of it is done, of how much."""


@dataclass
class Outcome:
    """How a cell ended, and what had been measured until then. `load`: the machine's, while times were measured, where
    cells take turns."""

    status: Status = "ok"
    reason: str = ""
    measurements: Measurements = field(default_factory=Measurements)
    warnings: list[str] = field(default_factory=list)
    load: dict[str, float | None] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "status": self.status,
            "reason": self.reason,
            "measurements": self.measurements.model_dump(mode="json"),
            "warnings": self.warnings,
            "load": self.load,
        }
