"""The files of a data folder and below. Links are followed, and nothing is opened here. No torch."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from actbench.errors import UserError

_MOST_ENTRIES = 50_000_000


@dataclass(frozen=True, slots=True)
class DataFile:
    """A regular file of a data folder: its `name` below it, with slashes; the `path` that opens it; the `resolved` path
    without links; its size in bytes, inode, and when content (`modified`) and inode (`changed`) changed, in ns."""

    name: str
    path: str
    resolved: str
    size: int
    inode: int
    modified: int
    changed: int


@dataclass(frozen=True)
class _Folder:
    """A folder on the way, with the identities of itself and of all folders that lead to it."""

    name: str
    path: str
    resolved: str
    lineage: frozenset[tuple[int, int]]


def files_below(folder: Path) -> list[DataFile]:
    """Lists all files in a folder and below, links followed, in the order of their names. Raises UserError, with the
    path, for what cannot be read, a link back to a folder that it is in, and what is neither a file nor a folder."""
    files: list[DataFile] = []
    pending = [_Folder("", str(folder), os.path.realpath(folder), frozenset([_identity(_status(str(folder)))]))]
    count = 0
    while pending:
        for entry in _entries(pending.pop()):
            if isinstance(entry, DataFile):
                files.append(entry)
            else:
                pending.append(entry)
            count += 1
            if count > _MOST_ENTRIES:
                raise UserError(f"{folder} has more than {_MOST_ENTRIES:,} entries: do links in it multiply them?")
    return sorted(files, key=lambda file: file.name.split("/"))


def _entries(folder: _Folder) -> Iterator[DataFile | _Folder]:
    try:
        with os.scandir(folder.path) as entries:
            yield from (_entry(folder, entry) for entry in entries)
    except OSError as error:
        raise _unreadable(folder.path, error) from error


def _entry(folder: _Folder, entry: os.DirEntry[str]) -> DataFile | _Folder:
    name = f"{folder.name}/{entry.name}" if folder.name else entry.name
    status = _status(entry.path)
    resolved = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(folder.resolved, entry.name)
    if stat.S_ISREG(status.st_mode):
        times = status.st_mtime_ns, status.st_ctime_ns
        return DataFile(name, entry.path, resolved, status.st_size, status.st_ino, *times)
    if not stat.S_ISDIR(status.st_mode):  # to open a pipe waits until somebody writes
        raise UserError(f"{entry.path} is neither a file nor a folder: remove it from the data")
    if _identity(status) in folder.lineage:
        raise UserError(f"{entry.path} is a link to a folder that it is in: remove it from the data")
    return _Folder(name, entry.path, resolved, folder.lineage | {_identity(status)})


def _status(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _unreadable(path: str, error: OSError) -> UserError:
    link = "remove the link or restore what it points to" if os.path.islink(path) else "make it readable or remove it"
    return UserError(f"cannot read {path}: {error.strerror or error}; {link}")
