"""Records as a pandas data frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from actbench.errors import UserError
from actbench.records.columns import field_names, flat
from actbench.records.record import Record
from actbench.records.skipped import Skipped
from actbench.records.store import cells_below, read_record
from actbench.records.verification import Verification, beside, read_verification

if TYPE_CHECKING:
    from pandas import DataFrame


def load_results(path: str | Path) -> DataFrame:
    """One row for each cell of a results folder, or of a published leaderboard, with the columns of
    `actbench.records.columns.COLUMNS`. Damaged records are left out, and named on standard error. Raises UserError
    where there are no others."""
    import pandas

    skipped = Skipped()
    try:
        rows = [flat(record) for record in load_records(Path(path), skipped)]
    finally:
        skipped.tell()
    frame: DataFrame = pandas.DataFrame(rows, columns=field_names())
    return frame


def load_records(
    path: Path, skipped: Skipped | None = None, known: Mapping[Path, Record] = MappingProxyType({})
) -> list[Record]:
    """The newest readable attempt of each cell of a folder of results, a leaderboard or one of its boards, in a fixed
    order; what cannot be read is taken down. `known`: what is in some of its files, which are not read again. Raises
    UserError where there is none."""
    records = [record for _, record in readable(cells_below(_with_records(path)), skipped or Skipped(), known)]
    if not records:
        raise UserError(f"no records in {path}: give a folder that `actbench run --results` or `publish` wrote")
    return records


def _with_records(path: Path) -> Path:
    """The folder itself; of a board, which has tables alone, the folder of its records."""
    folder, boards = path.name, path.resolve().parent
    records = boards.parent / "records" / folder
    return records if boards.name == "boards" and records.is_dir() else path


def load_verifications(path: Path, skipped: Skipped | None = None) -> dict[str, Verification]:
    """The marks beside the records of a folder, by the digest of the record; what marks nothing is taken down."""
    verifications, skipped = {}, skipped or Skipped()
    marked = [attempts for attempts in cells_below(path) if any(beside(file).exists() for file in attempts)]
    for file, record in readable(marked, skipped):
        try:
            verification = read_verification(file, record)
        except UserError as error:
            skipped.add(error)
            continue
        if verification is not None:
            verifications[verification.record] = verification
    return verifications


def readable(
    cells: Iterable[Sequence[Path]], skipped: Skipped, known: Mapping[Path, Record] = MappingProxyType({})
) -> Iterator[tuple[Path, Record]]:
    """Of the attempts of each cell the newest that can be read; what cannot be is taken down."""
    for attempts in cells:
        for path in reversed(attempts):
            try:
                yield path, known.get(path) or read_record(path)
                break
            except UserError as error:
                skipped.add(error)
