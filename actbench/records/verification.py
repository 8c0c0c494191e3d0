"""What a repetition of a record found, kept in a file beside the record: `<record>.verified.json`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from actbench.errors import UserError
from actbench.records.columns import column
from actbench.records.migrations import digest_of_format_1
from actbench.records.parts.part import Part
from actbench.records.reading import read_json
from actbench.records.record import Environment, Record
from actbench.records.repetition import check_names, environment_names
from actbench.records.store import write_over

SUFFIX = ".verified.json"

FORMAT = 3
"""The version of this form."""


class CheckResult(Part):
    """One thing that should be as published, as text. `unsteady`: a time that was not compared."""

    name: str
    published: str
    repeated: str
    holds: bool
    unsteady: bool = False


class Verification(Part):
    """What a repetition found. `record`: the digest of what was repeated. `when`: UTC. `environment`: where. Format 2
    is of before all that a record claims was compared."""

    format: Literal[2, 3] = 3
    record: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    when: str
    checks: list[CheckResult]
    environment: Environment

    @property
    def holds(self) -> bool:
        """Whether all of it is as published."""
        return all(check.holds for check in self.checks)


def digest(record: Record) -> str:
    """SHA-256 of a record's content: of its JSON with arrays as lists and without what is null, but for the format and
    the number of the attempt, so that it stays the same wherever and however the record is kept."""
    text = record.model_dump_json(exclude_none=True, exclude={"format", "attempt"}, context={"plain": True})
    return hashlib.sha256(text.encode()).hexdigest()


def beside(record: Path) -> Path:
    """The place where the verification of a record's file is kept."""
    return record.with_suffix(SUFFIX)


def write_verification(record: Path, verification: Verification) -> Path:
    """Replaces an earlier one, at once."""
    path = beside(record)
    write_over(path, verification.model_dump_json())
    return path


def read_verification(record_path: Path, record: Record) -> Verification | None:
    """What stands beside a record's file, None where there is nothing. Raises UserError where it is damaged, of another
    record, or does not name every check that a verification makes of such a record."""
    path = beside(record_path)
    if not path.exists():
        return None
    try:
        data = read_json(path)
        if isinstance(data, dict) and data.get("format") == 1:
            data = _of_format_1(data, record_path, record)
        verification = Verification.model_validate(data)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is no valid verification: remove it, or verify the record again") from error
    if verification.record != digest(record):
        raise UserError(f"{path} marks nothing: it is of another record, or of this one before it was edited")
    if not verification.environment.machine:
        raise UserError(f"{path} marks nothing: it does not say where the record was repeated")
    missing = _checks_of(record, verification.format) - {check.name for check in verification.checks}
    if missing:
        raise UserError(f"{path} marks nothing: it lacks the check of {min(missing)!r}; verify the record again")
    return verification


def _checks_of(record: Record, form: int) -> set[str]:
    """The names of the checks without which a mark says nothing; of a mark of before, those that all of them had."""
    if form == FORMAT:
        return check_names(record)
    quality = {column("quality").title} if record.measurements.quality is not None else set()
    return environment_names(record.cell) | {"status"} | quality


def _of_format_1(data: dict[str, Any], record_path: Path, record: Record) -> dict[str, Any]:
    """A mark in today's format: of the same record, where it was of the one that is in the file."""
    same = data.get("record") == digest_of_format_1(read_json(record_path))
    return data | {"format": 2} | ({"record": digest(record)} if same else {})
