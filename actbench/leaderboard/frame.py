"""Records as a pandas data frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from actbench.errors import UserError
from actbench.leaderboard.flat import COLUMNS, flat
from actbench.records.schema import Record
from actbench.records.store import Store, attempt, is_record, read_record
from actbench.records.verification import Verification, beside, read_verification

if TYPE_CHECKING:
    from pandas import DataFrame


def load_results(path: str | Path) -> DataFrame:
    """One row for each cell of a results folder, or of a published leaderboard, with the columns of
    `actbench.leaderboard.flat.COLUMNS`. Raises UserError where there are no records, or one is damaged."""
    import pandas

    frame: DataFrame = pandas.DataFrame([flat(record) for record in load_records(Path(path))], columns=list(COLUMNS))
    return frame


def load_records(path: Path) -> list[Record]:
    """The newest attempt of each cell, in a fixed order. Raises UserError where there is none, or one is damaged."""
    records = [read_record(found) for found in _paths(path)]
    if not records:
        raise UserError(f"no records in {path}: give a folder that `actbench run --results` or `publish` wrote")
    return records


def load_verifications(path: Path) -> dict[str, Verification]:
    """What stands beside the records of a folder, by the digest of the record. Raises UserError for a damaged one."""
    found = {}
    for place in _paths(path):
        if beside(place).exists() and (verification := read_verification(place, read_record(place))) is not None:
            found[verification.record] = verification
    return found


def _paths(path: Path) -> Iterator[Path]:
    """Of a results folder, or of all workloads of a leaderboard."""
    yield from Store(path).paths()
    for folder in sorted(path.glob("*/records")):
        newest: dict[str, Path] = {}
        for found in sorted(filter(is_record, folder.glob("*.json")), key=attempt):
            newest[found.stem.rpartition("-")[0]] = found
        yield from sorted(newest.values())
