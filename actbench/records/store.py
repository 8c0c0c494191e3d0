"""The store: one JSON file a record, written atomically and never over another, the same for results and leaderboards:

<folder>/records/<workload>/<key>-<attempt>.json
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from heapq import nlargest
from pathlib import Path
from typing import IO, TYPE_CHECKING

from actbench.errors import UserError
from actbench.records.places import place
from actbench.records.reading import read_json

if TYPE_CHECKING:
    from actbench.records.record import Record, Status
    from actbench.spec import CellSpec

FAILED: tuple[Status, ...] = ("oom", "timeout", "crash")
"""Statuses that another attempt may change (`--retry failed`); the others are results."""

_FOLDER = "records"
_RECORD = re.compile(r"[0-9a-f]{20}-[1-9][0-9]{0,8}\.json")


class Store:
    """The records of a folder. Reading it needs no lock: a file is there whole, or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / _FOLDER
        self.claims = folder / ".claims"
        self._last: dict[str, dict[str, int]] = {}

    def add(self, record: Record) -> tuple[Path, Record]:
        """Writes a record under the next free attempt. The file is on disk, whole, when this returns.

        The folder is listed once: what others have written since then is met when a name is taken.
        """
        workload = record.cell.workload.name
        if workload not in self._last:
            self._last[workload] = self._attempt_numbers(workload)
        last = self._last[workload]
        path, numbered = self._write(record, last.get(record.key, 0))
        last[record.key] = numbered.attempt
        return path, numbered

    def add_once(self, record: Record) -> tuple[Path, bool]:
        """Writes a record as `add` does, unless one of its cell has the same content: where it is, and whether it is
        new."""
        return self._write_once(record, self.attempts(record.cell.workload.name, record.key))

    def add_missing(self, records: Iterable[Record]) -> list[Path]:
        """Adds each of many records, as `add_once` does, and waits once until all are on disk: where each is."""
        present: dict[str, list[Path]] = {}
        for path in sorted(_records_below(self.folder), key=attempt):
            present.setdefault(_key(path), []).append(path)
        paths = []
        for record in records:
            attempts = present.setdefault(record.key, [])
            path, is_new = self._write_once(record, attempts, durable=False)
            attempts += [path] if is_new else []
            paths.append(path)
        os.sync()
        return paths

    def _write_once(self, record: Record, present: Sequence[Path], *, durable: bool = True) -> tuple[Path, bool]:
        for path in present:
            if _holds(path, record.model_copy(update={"attempt": attempt(path)})):
                return path, False
        return self._write(record, max(map(attempt, present), default=0), durable=durable)[0], True

    def _write(self, record: Record, last: int, *, durable: bool = True) -> tuple[Path, Record]:
        """Writes a record under the first free attempt behind the `last`."""
        folder = self.folder / place(record.cell.workload.name)
        number = last + 1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            while True:
                numbered = record.model_copy(update={"attempt": number})
                path = folder / numbered.file_name
                if write_once(path, numbered.model_dump_json(), durable=durable):
                    return path, numbered
                number += 1
        except OSError as error:
            raise UserError(f"cannot write a record into {self.folder}: {error.strerror or error}") from error

    def attempts(self, workload: str, key: str) -> list[Path]:
        """The records of a cell, the newest last."""
        return sorted(filter(is_record, (self.folder / place(workload)).glob(f"{key}-*.json")), key=attempt)

    def _attempt_numbers(self, workload: str) -> dict[str, int]:
        """The number of the newest record of each cell of a workload, by key."""
        numbers: dict[str, int] = {}
        for path in filter(is_record, (self.folder / place(workload)).glob("*.json")):
            numbers[_key(path)] = max(attempt(path), numbers.get(_key(path), 0))
        return numbers

    def has(self, workload: str, key: str, number: int) -> bool:
        """Whether a cell has a record of this number."""
        return self._path(workload, key, number).exists()

    def newest(self, workload: str, most: int) -> list[Path]:
        """The records of a workload that were written last, at most so many, in no order."""
        written = [
            (path.stat().st_mtime, path) for path in (self.folder / place(workload)).glob("*.json") if is_record(path)
        ]
        return [path for _, path in nlargest(most, written)]

    def latest(self, cells: Sequence[CellSpec]) -> list[Path | None]:
        """The newest record of each of some cells, None for one that has none; a folder is listed once, however many
        cells it has."""
        numbers = {name: self._attempt_numbers(name) for name in {cell.workload.name for cell in cells}}
        return [
            self._path(cell.workload.name, key, number)
            if (number := numbers[cell.workload.name].get(key := cell.key))
            else None
            for cell in cells
        ]

    def _path(self, workload: str, key: str, number: int) -> Path:
        return self.folder / place(workload) / f"{key}-{number}.json"


def _holds(path: Path, record: Record) -> bool:
    """Whether a file has this record; a damaged one has none."""
    try:
        return read_record(path) == record
    except UserError:
        return False


def is_record(path: Path) -> bool:
    """Whether a file is called as records are: `<key>-<attempt>.json`."""
    return _RECORD.fullmatch(path.name) is not None


def record_files(sources: Iterable[Path]) -> list[Path]:
    """Files as they are given; of a folder all records in it. Raises UserError for a folder without any."""
    files: list[Path] = []
    for source in sources:
        inside = sorted(_records_below(source)) if source.is_dir() else [source]
        if not inside:
            raise UserError(f"no records in {source}: give a record's file, or a folder that has some")
        files += inside
    return files


def cells_below(folder: Path) -> list[list[Path]]:
    """The records of each cell in a folder of results, or of a leaderboard, the newest last; cells in the order of
    their newest records' files."""
    cells: dict[str, list[Path]] = {}
    for path in sorted(_records_below(folder), key=lambda path: (attempt(path), str(path))):
        cells.setdefault(_key(path), []).append(path)
    return sorted(cells.values(), key=lambda attempts: (attempts[-1].parent, attempts[-1].name))


def _records_below(folder: Path) -> Iterator[Path]:
    """Everything that is called as records are; what is hidden is somebody's unfinished work."""
    for parent, folders, names in os.walk(folder):
        yield from (path for name in [*folders, *names] if is_record(path := Path(parent, name)))
        folders[:] = [name for name in folders if not name.startswith(".")]


def _key(path: Path) -> str:
    return path.name.partition("-")[0]


def read_record(path: Path) -> Record:
    """Reads and checks a record. Raises UserError, in one line, where it is damaged or no record."""
    from pydantic import ValidationError

    from actbench.records.migrations import migrate
    from actbench.records.parts.part import first_error
    from actbench.records.record import Record

    if path.is_dir():
        raise UserError(f"{path} is a folder: name the file of a record")
    try:
        record = Record.model_validate(migrate(read_json(path)))
        if is_record(path) and path.name != record.file_name:
            raise ValueError(f"its name is not that of the record in it, {record.file_name}")
        return record
    except OSError as error:
        raise UserError(f"cannot read record {path}: {error.strerror or error}") from error
    except ValidationError as error:
        raise UserError(f"{path} is no valid record: {first_error(error)}; remove it or restore it") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no valid record: {_one_line(error)}; remove it or restore it") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def read_status(path: Path) -> str:
    """The status of a record, without checking the rest of it. Raises UserError where there is none."""
    try:
        return str(read_json(path)["status"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is no valid record: remove it or restore it") from error


def attempt(path: Path) -> int:
    """The number in a record's file name; 0 without one."""
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def write_once(path: Path, text: str, *, durable: bool = True) -> bool:
    """Writes a file, whole, unless there is one; whether it did. A link, unlike a rename, never replaces a file.
    Without `durable` it may not be on disk yet when this returns."""
    nameless = _nameless(path.parent)
    try:
        if nameless is None:
            with _written(path, text, durable=durable) as temporary:
                os.link(temporary, path)
        else:
            with os.fdopen(nameless, "w", encoding="utf-8") as file:
                os.fchmod(file.fileno(), 0o644)
                _fill(file, text, durable=durable)
                # Relative to a folder, or the link would be to the link.
                os.link(f"/proc/self/fd/{file.fileno()}", path, src_dir_fd=file.fileno())
    except FileExistsError:
        return False
    return True


def _nameless(folder: Path) -> int | None:
    """Opens a file that has no name yet, so that nothing is left of it if this process is killed; None where the system
    has none."""
    if not hasattr(os, "O_TMPFILE") or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o644)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            return None
        raise


def _fill(file: IO[str], text: str, *, durable: bool) -> None:
    file.write(text + "\n")
    file.flush()
    if durable:
        os.fsync(file.fileno())


def write_over(path: Path, text: str) -> None:
    """Writes a file, whole, in the place of what is there. Raises UserError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _written(path, text) as temporary:
            os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def _written(path: Path, text: str, *, durable: bool = True) -> Iterator[str]:
    """A file beside `path` with all of the text, on disk; gone in the end, unless it has got another name."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            _fill(file, text, durable=durable)
        os.chmod(temporary, 0o644)
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
