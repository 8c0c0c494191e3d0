"""Cores that a container's limits leave, from control groups of either version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

Read = Callable[[str], str]
"""Reads a file of /proc or /sys; raises OSError where there is none."""

_ROOT = "/sys/fs/cgroup"


def read_file(path: str) -> str:
    """Reads a file of /proc or /sys."""
    return Path(path).read_text()


def quota(read: Read = read_file) -> float | None:
    """How many cores may be used at once, by the tightest group that this process is in; None for no limit."""
    limits = [limit for limit in _limits(read) if limit is not None]
    return min(limits, default=None)


def _limits(read: Read) -> Iterator[float | None]:
    try:
        lines = [line for line in read("/proc/self/cgroup").splitlines() if line.count(":") >= 2]
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        for folder in (str(one).rstrip("/") for one in (PurePosixPath(path), *PurePosixPath(path).parents)):
            if number == "0":
                yield _second(read, f"{_ROOT}{folder}")
            elif "cpu" in controllers.split(","):
                yield _first(read, f"{_ROOT}/cpu{folder}")
                yield _first(read, f"{_ROOT}/{controllers}{folder}")


def _second(read: Read, folder: str) -> float | None:
    """The limit of a group of version 2: `200000 100000` are two cores, `max 100000` has none."""
    try:
        most, period = read(f"{folder}/cpu.max").split()
        return int(most) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _first(read: Read, folder: str) -> float | None:
    """The limit of a group of version 1: a quota of -1 is none."""
    try:
        most, period = (int(read(f"{folder}/cpu.cfs_{what}_us")) for what in ("quota", "period"))
        return most / period if most > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
