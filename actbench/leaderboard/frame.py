"""Records as a pandas data frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from actbench.errors import UserError
from actbench.records.columns import field_names, flat
from actbench.records.record import Record
from actbench.records.store import newest_files, read_record
from actbench.records.verification import Verification, beside, read_verification

if TYPE_CHECKING:
    from pandas import DataFrame


def load_results(path: str | Path) -> DataFrame:
    """One row for each cell of a results folder, or of a published leaderboard, with the columns of
    `actbench.records.columns.COLUMNS`. Raises UserError where there are no records, or one is damaged."""
    import pandas

    frame: DataFrame = pandas.DataFrame([flat(record) for record in load_records(Path(path))], columns=field_names())
    return frame


def load_records(path: Path) -> list[Record]:
    """The newest attempt of each cell, in a fixed order. Raises UserError where there is none, or one is damaged."""
    records = [read_record(file) for file in newest_files(path)]
    if not records:
        raise UserError(f"no records in {path}: give a folder that `actbench run --results` or `publish` wrote")
    return records


def load_verifications(path: Path) -> dict[str, Verification]:
    """What stands beside the records of a folder, by the digest of the record. Raises UserError for a damaged one."""
    verifications = {}
    for file in newest_files(path):
        if beside(file).exists() and (verification := read_verification(file, read_record(file))) is not None:
            verifications[verification.record] = verification
    return verifications
