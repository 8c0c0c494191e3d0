"""What the conformance kit found of a method, as a file: `checks/<method>.json` beside the records."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from actbench.errors import UserError
from actbench.records.parts.part import OptionValue, Part
from actbench.records.reading import read_json
from actbench.records.skipped import Skipped
from actbench.records.store import write_over

FOLDER = "checks"


class CheckOutcome(Part):
    """How one check ended, and why it failed or was skipped."""

    number: Annotated[int, Field(ge=1)]
    name: str
    status: Literal["passed", "failed", "skipped"]
    reason: str = ""


class Conformance(Part):
    """All checks of a method in one version, by one version of actbench."""

    format: Literal[1] = 1
    method: str
    version: str
    options: dict[str, OptionValue]
    actbench: str
    checks: list[CheckOutcome]

    @property
    def passed(self) -> bool:
        """Whether none failed."""
        return all(check.status != "failed" for check in self.checks)

    @property
    def summary(self) -> str:
        """The counts as text: `20 passed, 1 skipped`."""
        counts = Counter(check.status for check in self.checks)
        return ", ".join(f"{counts[status]} {status}" for status in ("failed", "passed", "skipped") if counts[status])


def write_conformance(conformance: Conformance, path: Path) -> None:
    """Replaces what is there. Raises UserError where it cannot be written."""
    write_over(path, conformance.model_dump_json(indent=1))


def load_conformance(folder: Path, skipped: Skipped | None = None) -> dict[str, Conformance]:
    """Results by method, of `checks/` in a results folder or a leaderboard; a damaged file is taken down."""
    by_method, skipped = {}, skipped or Skipped()
    for path in sorted((folder / FOLDER).glob("*.json")):
        try:
            conformance = Conformance.model_validate(read_json(path))
        except (OSError, ValueError, RecursionError):
            skipped.add(UserError(f"{path} is no valid result of `actbench check`: remove it, or check again"))
            continue
        by_method[conformance.method] = conformance
    return by_method
