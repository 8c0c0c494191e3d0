"""Lines from a pipe whose writer may hang, end or write without end."""

from __future__ import annotations

import os
import select
from time import monotonic

_CHUNK = 1 << 16


class Lines:
    """Reads lines from a file descriptor, each within a time and a length. `lifeline`: another descriptor; where it has
    something to read, whoever wanted the lines is gone."""

    def __init__(self, descriptor: int, longest: int, lifeline: int | None = None) -> None:
        self._descriptor = descriptor
        self._longest = longest
        self._lifeline = lifeline
        self._read = bytearray()

    def next(self, seconds: float | None) -> bytes:
        """The next line; None waits for ever. Raises TimeoutError, EOFError, ValueError where it is too long, and
        InterruptedError where nobody wants it any more."""
        deadline = None if seconds is None else monotonic() + seconds
        while (end := self._read.find(b"\n")) < 0:
            if len(self._read) > self._longest:
                raise ValueError(f"more than {self._longest} bytes in a line")
            self._wait(deadline)
            chunk = os.read(self._descriptor, _CHUNK)
            if not chunk:
                raise EOFError
            self._read += chunk
        line = bytes(self._read[:end])
        del self._read[: end + 1]
        return line

    def _wait(self, deadline: float | None) -> None:
        watched = [self._descriptor] + ([] if self._lifeline is None else [self._lifeline])
        left = None if deadline is None else max(0.0, deadline - monotonic())
        ready, _, _ = select.select(watched, [], [], left)
        if self._lifeline in ready:
            raise InterruptedError
        if not ready:
            raise TimeoutError
