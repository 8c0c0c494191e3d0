"""The table of a folder of images: `labels.csv` with the columns file, label and split. No torch."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from actbench.errors import UserError

_COLUMNS = ("file", "label", "split")


class Entry(NamedTuple):
    """A row of the table. `place`: the table and the line, for messages."""

    file: str
    label: str
    split: str
    place: str

    @property
    def number(self) -> int | None:
        """The label where it is a class's number; None where it is a name."""
        return int(self.label) if self.label.isdecimal() else None

    def numbers(self) -> tuple[float, ...]:
        """The label as numbers, separated by spaces. Raises UserError where it is none."""
        try:
            numbers = tuple(map(float, self.label.split()))
        except ValueError:
            numbers = ()
        if not numbers:
            raise UserError(f"{self.place}: label {self.label!r} is no number")
        return numbers


def read_table(path: Path) -> list[Entry]:
    """Reads all rows. Raises UserError where the file cannot be read, or lacks a column."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise UserError(f"{path} has no column {missing[0]!r}: its columns are {', '.join(_COLUMNS)}")
            return [
                Entry._make([*((row[column] or "").strip() for column in _COLUMNS), f"{path}:{reader.line_num}"])
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}") from error
