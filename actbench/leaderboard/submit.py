"""Records, checked, in the places where a published leaderboard keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actbench.errors import UserError
from actbench.records.record import Record
from actbench.records.store import Store, read_record, record_files
from actbench.records.verification import read_verification, write_verification

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
    store = Store(leaderboards)
    for path, record in checked:
        target, is_new = store.add_once(record)
        (added if is_new else present).append(target)
        verification = read_verification(path, record)
        if verification is not None and is_new:
            write_verification(target, verification)
    return Submission(tuple(added), tuple(present))


def _checked(path: Path) -> Record:
    record = read_record(path)
    if record.status not in _SUBMITTED:
        raise UserError(f"{path}: its cell ended as {record.status}; mend what is wrong and run it again")
    if record.status != "unsupported" and record.environment is None:
        raise UserError(f"{path}: it does not say where it was measured; run the cell again")
    return record
