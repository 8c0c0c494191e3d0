"""What a repetition of a record found, kept in a file beside the record: `<record>.verified.json`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from actbench.errors import UserError
from actbench.records.schema import Environment, Part, Record
from actbench.records.store import write_over

SUFFIX = ".verified.json"


class CheckResult(Part):
    """One thing that should be as published, as text."""

    name: str
    published: str
    repeated: str
    holds: bool


class Verification(Part):
    """`record`: the digest of the record that was repeated. `when`: UTC. `environment`: where."""

    format: Literal[1] = 1
    record: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    when: str
    checks: list[CheckResult]
    environment: Environment | None

    @property
    def holds(self) -> bool:
        """Whether all of it is as published."""
        return all(check.holds for check in self.checks)


def digest(record: Record) -> str:
    """SHA-256 of a record's content, however its file is laid out."""
    return hashlib.sha256(record.model_dump_json().encode()).hexdigest()


def beside(record: Path) -> Path:
    """Where the verification of a record's file is kept."""
    return record.with_suffix(SUFFIX)


def write_verification(record: Path, verification: Verification) -> Path:
    """Replaces an earlier one, at once."""
    path = beside(record)
    write_over(path, verification.model_dump_json(indent=1))
    return path


def read_verification(record_path: Path, record: Record) -> Verification | None:
    """What stands beside a record's file, None where there is nothing, or where the record is another one by now.
    Raises UserError where it is damaged."""
    path = beside(record_path)
    if not path.exists():
        return None
    try:
        verification = Verification.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(f"{path} is no valid verification: remove it, or verify the record again") from error
    return verification if verification.record == digest(record) else None
