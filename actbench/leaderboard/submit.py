"""Records, checked, in the places where a published leaderboard keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actbench.errors import UserError
from actbench.leaderboard.places import place
from actbench.records.schema import Record
from actbench.records.store import attempt, is_record, read_record, record_files, write_once
from actbench.records.verification import digest, read_verification, write_verification

_SUBMITTED = ("ok", "over_ceiling", "unsupported")
"""What says something of the method; the other ends say something of the machine or of the plugin."""


@dataclass(frozen=True)
class Submission:
    """Files that were added, and those that were there already with the same content."""

    added: tuple[Path, ...]
    present: tuple[Path, ...]


def lay_out(sources: Sequence[Path], leaderboards: Path) -> Submission:
    """All records are checked before one is written. Raises UserError, naming the file, for the first that cannot be
    submitted."""
    checked = [(path, _checked(path)) for path in record_files(sources)]
    added: list[Path] = []
    present: list[Path] = []
    for path, record in checked:
        target, is_new = _write(record, leaderboards / place(record.cell.workload.name) / "records")
        (added if is_new else present).append(target)
        verification = read_verification(path, record)
        if verification is not None and is_new:
            own = read_record(target)
            write_verification(target, verification.model_copy(update={"record": digest(own)}))
    return Submission(tuple(added), tuple(present))


def _checked(path: Path) -> Record:
    record = read_record(path)
    if record.status not in _SUBMITTED:
        raise UserError(f"{path}: its cell ended as {record.status}; mend what is wrong and run it again")
    if record.status != "unsupported" and record.environment is None:
        raise UserError(f"{path}: it does not say where it was measured; run the cell again")
    return record


def _write(record: Record, folder: Path) -> tuple[Path, bool]:
    """As the newest attempt of its cell, unless one has the same content: which one, and whether it is new."""
    folder.mkdir(parents=True, exist_ok=True)
    there = sorted(filter(is_record, folder.glob(f"{record.key}-*.json")), key=attempt)
    for path in there:
        if read_record(path) == record.model_copy(update={"attempt": attempt(path)}):
            return path, False
    number = 1 + (attempt(there[-1]) if there else 0)
    path = folder / f"{record.key}-{number}.json"
    if not write_once(path, record.model_copy(update={"attempt": number}).model_dump_json()):
        raise UserError(f"{path} was written by somebody else just now: submit again")
    return path, True
