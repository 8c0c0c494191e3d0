"""The store: one JSON file a record, written atomically and never over another. `<workload>/<key>-<attempt>.json`."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from actbench.errors import UserError

if TYPE_CHECKING:
    from actbench.records.schema import Record

FAILED = ("oom", "timeout", "crash")
"""Statuses that another attempt may change (`--retry failed`); the others are results."""

_FOLDER = "records"
_RECORD = re.compile(r"[0-9a-f]{20}-[1-9][0-9]*\.json")


class Store:
    """The records of a results folder. Reading it needs no lock: a file is there whole, or not at all."""

    def __init__(self, results: Path) -> None:
        self.folder = results / _FOLDER

    def add(self, record: Record) -> tuple[Path, Record]:
        """Writes a record under the next free attempt. The file is on disk, whole, when this returns."""
        try:
            return self._add(record)
        except OSError as error:
            raise UserError(f"cannot write a record into {self.folder}: {error.strerror or error}") from error

    def _add(self, record: Record) -> tuple[Path, Record]:
        folder = self.folder / record.cell.workload.name
        folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max((attempt(path) for path in folder.glob(f"{record.key}-*.json")), default=0)
        while True:
            numbered = record.model_copy(update={"attempt": number})
            path = folder / f"{record.key}-{number}.json"
            if write_once(path, numbered.model_dump_json(indent=1)):
                return path, numbered
            number += 1

    def latest(self, workload: str, key: str) -> Path | None:
        """The newest record of a cell, None where it has none."""
        paths = (self.folder / workload).glob(f"{key}-*.json")
        return max(filter(is_record, paths), key=attempt, default=None)

    def paths(self) -> Iterator[Path]:
        """All records, the newest attempt of each cell, in a fixed order."""
        newest: dict[tuple[str, str], Path] = {}
        for path in sorted(filter(is_record, self.folder.glob("*/*.json")), key=attempt):
            newest[path.parent.name, path.stem.rpartition("-")[0]] = path
        yield from sorted(newest.values())


def is_record(path: Path) -> bool:
    """Whether a file is called as records are: `<key>-<attempt>.json`."""
    return _RECORD.fullmatch(path.name) is not None


def record_files(sources: Iterable[Path]) -> list[Path]:
    """Files as they are given; of a folder all records in it. Raises UserError for a folder without any."""
    found: list[Path] = []
    for source in sources:
        inside = sorted(file for file in source.rglob("*.json") if is_record(file)) if source.is_dir() else [source]
        if not inside:
            raise UserError(f"no records in {source}: give a record's file, or a folder that has some")
        found += inside
    return found


def read_record(path: Path) -> Record:
    """Reads and checks a record. Raises UserError, in one line, where it is damaged or no record."""
    from pydantic import ValidationError

    from actbench.records.schema import Record

    try:
        return Record.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read record {path}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        message = f"{path} is no valid record: {first['msg']} ({where}); remove it or restore it"
        raise UserError(" ".join(message.split())) from error


def read_status(path: Path) -> str:
    """The status of a record, without checking the rest of it. Raises UserError where there is none."""
    try:
        return str(json.loads(path.read_bytes())["status"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no valid record: remove it or restore it") from error


def attempt(path: Path) -> int:
    """The number in a record's file name; 0 without one."""
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def write_once(path: Path, text: str) -> bool:
    """Writes a file, whole, unless there is one; whether it did. A link, unlike a rename, never replaces a file."""
    try:
        with _written(path, text) as temporary:
            os.link(temporary, path)
    except FileExistsError:
        return False
    return True


def write_over(path: Path, text: str) -> None:
    """Writes a file, whole, in the place of what is there. Raises UserError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _written(path, text) as temporary:
            os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def _written(path: Path, text: str) -> Iterator[str]:
    """A file beside `path` with all of the text, on disk; gone in the end, unless it has got another name."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
