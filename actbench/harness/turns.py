"""Turns on a node: while times are measured for one cell, the others that are measured beside it stand still.

Whatever computes is in the room, and several may be. Who wants it for himself shuts the gate, through which all go in,
and waits until the room is empty; the others go out and in again between their steps. Room and gate are locks on two
bytes of a file in the system's folder for temporary files, so that there is one of each a node; the system opens them
when a holder ends, however that ends. Nobody waits for ever: a method that hangs must not stop another one's cell. Who
goes on without his turn is measured beside others, and his record's load says so.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep

from actbench.harness.load import watch

if sys.platform != "win32":
    import fcntl

PATIENCE = 120.0
"""Seconds for which a turn is waited for, once a cell."""

_GATE, _ROOM = 0, 1
_LOOK_AGAIN = 0.005
_WINDOW = 0.1
"""Seconds for which the load is watched at least: it is counted in hundredths of a second."""


class Turns:
    """A process's place among those of its node; without `shared` there are no others, and nothing is waited for.
    `load`: the machine's load while it was alone, where there may be others."""

    def __init__(self, *, shared: bool = False) -> None:
        self.load: dict[str, float | None] | None = None
        self._file = _open() if shared and sys.platform != "win32" else None
        self._patience = PATIENCE

    @contextmanager
    def beside(self) -> Iterator[None]:
        """In the room with others, for a cell or for what cells share."""
        self.load, self._patience = None, PATIENCE
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def pause(self) -> None:
        """Lets one pass who waits for the room to be empty."""
        self._leave()
        self._enter()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Alone in the room, from within `beside`; with a watch on the load, of which the largest is kept."""
        if self._file is None:
            yield
            return
        self._leave()
        self._lock(_GATE, fcntl.LOCK_EX)
        self._lock(_ROOM, fcntl.LOCK_EX)
        begin, watched = monotonic(), watch()
        try:
            yield
        finally:
            sleep(max(0.0, begin + _WINDOW - monotonic()))
            self._keep(watched.stop())
            self._unlock(_ROOM)
            self._unlock(_GATE)
            self._enter()

    def _keep(self, load: dict[str, float | None]) -> None:
        if self.load is None or (load["others"] or 0) > (self.load["others"] or 0):
            self.load = load

    def _enter(self) -> None:
        if self._file is not None:
            self._lock(_GATE, fcntl.LOCK_SH)
            self._lock(_ROOM, fcntl.LOCK_SH)
            self._unlock(_GATE)

    def _leave(self) -> None:
        if self._file is not None:
            self._unlock(_ROOM)

    def _lock(self, place: int, kind: int) -> None:
        """Waits for a lock, as long as there is patience left."""
        assert self._file is not None
        while True:
            try:
                fcntl.lockf(self._file, kind | fcntl.LOCK_NB, 1, place)
                return
            except (BlockingIOError, PermissionError):
                if self._patience <= 0:
                    return
            begin = monotonic()
            sleep(_LOOK_AGAIN)
            self._patience -= monotonic() - begin

    def _unlock(self, place: int) -> None:
        assert self._file is not None
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)


def _open() -> int | None:
    """The file of this user's cells on this node; None where it cannot be had."""
    path = os.path.join(tempfile.gettempdir(), f"actbench-turns-{os.getuid()}")
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        fcntl.lockf(file, fcntl.LOCK_UN, 1, _GATE)  # or locks are unknown there
        return file
    except OSError:
        return None
