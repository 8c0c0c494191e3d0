"""Records, checked, in the places where a published leaderboard keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from actbench.errors import UserError
from actbench.info import MethodInfo
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


def lay_out(
    sources: Sequence[Path], leaderboards: Path, methods: Mapping[str, MethodInfo] = MappingProxyType({})
) -> Submission:
    """All records, and the marks beside them, are checked before one is written. `methods`: those that are installed.
    Raises UserError, naming the file, for the first that cannot be submitted."""
    checked = [(record, read_verification(path, record)) for path, record in _checked(sources, methods)]
    added: list[Path] = []
    present: list[Path] = []
    store = Store(leaderboards)
    for record, verification in checked:
        target, is_new = store.add_once(record)
        (added if is_new else present).append(target)
        if verification is not None and is_new:
            write_verification(target, verification)
    return Submission(tuple(added), tuple(present))


def _checked(sources: Sequence[Path], methods: Mapping[str, MethodInfo]) -> Iterator[tuple[Path, Record]]:
    for path in record_files(sources):
        record = read_record(path)
        _check(path, record, methods.get(record.cell.method.name))
        yield path, record


def _check(path: Path, record: Record, method: MethodInfo | None) -> None:
    if record.status not in _SUBMITTED:
        raise UserError(f"{path}: its cell ended as {record.status}; mend what is wrong and run it again")
    if record.status != "unsupported" and record.environment is None:
        raise UserError(f"{path}: it does not say where it was measured; run the cell again")
    if method is not None:
        try:
            method.resolve(record.cell.method.options)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
