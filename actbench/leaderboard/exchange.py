"""Fresh pages in the place of old ones, all or none; and what an interrupted exchange left behind."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_UNFINISHED = ".publish-"
_HOUR = 3600.0
"""Nobody writes for longer: what is older was left behind."""


@contextmanager
def replaced_parts(folder: Path) -> Iterator[Path]:
    """An empty folder, of which each file and folder takes the place of the one of its name in `folder` once all are
    written; what else is there stays. Where one cannot take its place, none does."""
    with _own_folder(folder) as unfinished:
        fresh, replaced = unfinished / "fresh", unfinished / "replaced"
        fresh.mkdir()
        replaced.mkdir()
        yield fresh
        _exchange(fresh, folder, replaced)


@contextmanager
def _own_folder(folder: Path) -> Iterator[Path]:
    """A new folder that is locked for as long as this process lives, or somebody who finds it may remove it; gone in
    the end."""
    unfinished, lock = _locked_folder(folder)
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        os.close(lock)


def _locked_folder(folder: Path) -> tuple[Path, int]:
    """A new folder, and the descriptor that locks it. Before it is locked, somebody may find it, and remove it."""
    while True:
        unfinished = Path(tempfile.mkdtemp(dir=folder, prefix=_UNFINISHED))
        with suppress(FileNotFoundError):
            lock = os.open(unfinished, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks: then age decides
                fcntl.flock(lock, fcntl.LOCK_EX)
            if unfinished.exists():
                return unfinished, lock
            os.close(lock)


def _exchange(fresh: Path, folder: Path, replaced: Path) -> None:
    """Renames alone: nothing is written, so that little can fail; and what was done until then is undone."""
    moved: list[str] = []
    try:
        for name in sorted(part.name for part in fresh.iterdir()):
            moved.append(name)
            _move_if_there(folder / name, replaced / name)
            os.rename(fresh / name, folder / name)
    except BaseException:
        for name in reversed(moved):
            if not os.path.lexists(fresh / name):
                os.rename(folder / name, fresh / name)
            _move_if_there(replaced / name, folder / name)
        raise


def _move_if_there(source: Path, target: Path) -> None:
    if os.path.lexists(source):
        os.rename(source, target)


def remove_leftovers(folder: Path) -> None:
    """Removes what a publishing, or a run, left that was killed while it wrote."""
    for path in folder.glob(f"{_UNFINISHED}*"):
        _remove_abandoned(path)
    for path in [*folder.glob("records/**/.*.tmp"), *folder.glob("checks/.*.tmp")]:
        if path.is_file() and _is_old(path):
            with suppress(OSError):
                path.unlink()


def _remove_abandoned(unfinished: Path) -> None:
    """Removes a folder whose owner is gone, or so old that there can be none. It stays locked meanwhile, so that an
    owner who comes to lock it finds it gone."""
    with suppress(OSError):
        lock = os.open(unfinished, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            if _is_free(lock) or _is_old(unfinished):
                shutil.rmtree(unfinished, ignore_errors=True)
        finally:
            os.close(lock)


def _is_free(lock: int) -> bool:
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _is_old(path: Path) -> bool:
    with suppress(OSError):
        return time.time() - path.lstat().st_mtime > _HOUR
    return False
