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

_UNFINISHED, _LOCK = ".publish-", "lock"
_HOUR = 3600.0
"""Nobody writes for longer: what is older was left behind."""


@contextmanager
def replaced_parts(folder: Path) -> Iterator[Path]:
    """An empty folder, of which each file and folder takes the place of the one of its name in `folder` once all are
    written; what else is there stays. Where one cannot take its place, none does."""
    unfinished = Path(tempfile.mkdtemp(dir=folder, prefix=_UNFINISHED))
    fresh, replaced = unfinished / "fresh", unfinished / "replaced"
    fresh.mkdir()
    replaced.mkdir()
    with _locked(unfinished):
        try:
            yield fresh
            _exchange(fresh, folder, replaced)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def _locked(unfinished: Path) -> Iterator[None]:
    """Says that somebody works in a folder, for as long as this process lives."""
    with (unfinished / "unlocked").open("w") as file:
        with suppress(OSError):  # a file system without locks: then age decides
            fcntl.flock(file, fcntl.LOCK_EX)
            os.rename(file.name, unfinished / _LOCK)
        yield


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
        if _is_abandoned(path) or _is_old(path):
            shutil.rmtree(path, ignore_errors=True)
    for path in [*folder.glob("records/**/.*.tmp"), *folder.glob("checks/.*.tmp")]:
        if path.is_file() and _is_old(path):
            with suppress(OSError):
                path.unlink()


def _is_abandoned(unfinished: Path) -> bool:
    """Whether whoever locked a folder is gone."""
    with suppress(OSError), (unfinished / _LOCK).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _is_old(path: Path) -> bool:
    with suppress(OSError):
        return time.time() - path.lstat().st_mtime > _HOUR
    return False
