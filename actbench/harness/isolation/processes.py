"""Processes that leave nothing behind of what they started."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

MARK = "ACTBENCH_WORKER"
"""Environment variable of a worker and of all that it starts, in whichever session: by its value they are found."""


def end_marked(mark: str) -> None:
    """Kills every other process with this mark, until there is none; a process may start more while others are ended.
    Where the system has no /proc, only process groups are ended, by those who started them."""
    for _ in range(100):
        marked = list(_marked(mark.encode(), spare=(os.getpid(), os.getppid())))
        if not mark or not marked:
            return
        for process in marked:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        reap()


def reap() -> None:
    """Takes leave of children that ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _marked(mark: bytes, spare: Collection[int]) -> Iterator[int]:
    assignment = f"{MARK}=".encode() + mark
    for folder in Path("/proc").glob("[0-9]*"):
        process = int(folder.name)
        if process in spare:
            continue
        with suppress(OSError):
            ended = folder.joinpath("stat").read_text().rpartition(")")[2].split()[0] in "ZX"
            if not ended and assignment in folder.joinpath("environ").read_bytes().split(b"\0"):
                yield process
