"""Claims: of runs that write into one store, each carries out other cells.

A claim is a lock on one byte of a file, at the place that the cell's key says. The system gives it back when its holder
ends, however that ends, so that nothing is left over and nothing has to expire; on network file systems it holds
between machines. Where there are no such locks every claim is granted: then a cell may be measured twice, and both
records are kept.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

if sys.platform != "win32":
    import fcntl

_DIGITS = 15
"""Hexadecimal digits of a key that are a place in a file: 60 bits, below the largest offset."""


class Claims:
    """The claims of this process. `file`: is made where there is none, and stays empty."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)

    def __enter__(self) -> Claims:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def take(self, key: str) -> bool:
        """Whether the cell is this process's to carry out: no other has claimed it."""
        if sys.platform == "win32":
            return True
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(key))
        except (BlockingIOError, PermissionError):
            return False
        except OSError:  # a file system without locks
            return True
        return True

    def give_back(self, key: str) -> None:
        """Others may claim the cell again: by then it has a record."""
        if sys.platform != "win32":
            with suppress(OSError):
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _place(key))


def _place(key: str) -> int:
    return int(key[:_DIGITS], 16)
