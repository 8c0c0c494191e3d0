"""How busy the machine is with the work of others: how many threads to take, and what to say beside timings. No torch.

Everything is from /proc; where there is none, nothing is known, and all cores count as free.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from time import sleep

from actbench.harness.quota import Read, quota, read_file

PASSIVE_WAITS = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "GOMP_SPINCOUNT": "0"}
"""Environment of a worker: threads that wait for others sleep, rather than take a core that somebody works on."""

_WINDOW = 0.2
_NOTABLE = 0.25
"""Cores that others use before it is said."""

_ACCOUNTED = 8
"""Columns of /proc/stat that add up to all time: those behind them are counted in the first two already."""

_IDLE = (3, 4)


@dataclass(frozen=True)
class LoadSample:
    """Processor time so far, in ticks, of the processors that this process may run on: all of it, what was used, and
    what this process and its children used. `average`: processes that run or wait, over a minute."""

    total: int
    used: int
    ours: int
    average: float


def sample_load(read: Read = read_file) -> LoadSample | None:
    """The machine's load now; None where the system does not say."""
    try:
        rows = [line.split() for line in read("/proc/stat").splitlines() if line.startswith("cpu")]
        ours = read("/proc/self/stat").rpartition(")")[2].split()[11:15]
        average = float(read("/proc/loadavg").split()[0])
        names = {f"cpu{number}" for number in processors()}
        ticks = [[int(value) for value in row[1 : _ACCOUNTED + 1]] for row in rows if row[0] in names]
    except (OSError, ValueError, IndexError):
        return None
    total = sum(map(sum, ticks))
    idle = sum(row[column] for row in ticks for column in _IDLE)
    return LoadSample(total, total - idle, sum(map(int, ours)), average)


def share_of_others(start: LoadSample | None, end: LoadSample | None) -> float | None:
    """Share of the processors' time that others used between two samples; None where it is not known."""
    if start is None or end is None or end.total <= start.total:
        return None
    used = (end.used - start.used) - (end.ours - start.ours)
    return min(1.0, max(0.0, used / (end.total - start.total)))


class Watch:
    """A watch on the machine's load while something is measured."""

    def __init__(self, read: Read = read_file) -> None:
        self._read = read
        self._start = sample_load(read)

    def stop(self) -> dict[str, float | None]:
        """The load average at the start and at the end, and the share of the processors' time that others used."""
        end = sample_load(self._read)
        others = share_of_others(self._start, end)
        return {
            "start": None if self._start is None else self._start.average,
            "end": None if end is None else end.average,
            "others": None if others is None else round(others, 4),
        }


def watch(read: Read = read_file) -> Watch:
    """Begins to watch the machine's load."""
    return Watch(read)


def processors() -> set[int]:
    """The processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def used_by_others(read: Read = read_file, wait: Callable[[float], None] = sleep) -> float | None:
    """Cores that other processes use just now; None where it is not known."""
    start = sample_load(read)
    if start is None:
        return None
    wait(_WINDOW)
    share = share_of_others(start, sample_load(read))
    return None if share is None else share * len(processors())


def allowed_cores(read: Read = read_file) -> float:
    """Cores that this process may use: its processors, as far as a container's limit goes."""
    most = quota(read)
    return float(len(processors())) if most is None else min(len(processors()), most)


def free_cores(read: Read = read_file, wait: Callable[[float], None] = sleep) -> float:
    """Cores that this process may use and nobody else does just now."""
    others = used_by_others(read, wait) or 0.0
    return max(0.0, min(allowed_cores(read), len(processors()) - others))


def choose_threads(asked: int | None, read: Read = read_file, wait: Callable[[float], None] = sleep) -> int:
    """How many threads to compute with: as many as are asked for, as OMP_NUM_THREADS says, or as cores are free."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if asked is not None:
        return max(1, asked)
    if said.isdecimal() and int(said) > 0:
        return int(said)
    return max(1, int(free_cores(read, wait) + 0.5))


def waits(read: Read = read_file, wait: Callable[[float], None] = sleep) -> dict[str, str]:
    """Environment for a worker's threads: they wait asleep where others use the machine, and awake where nobody does,
    which is faster then."""
    return PASSIVE_WAITS if busy_line(read, wait) else {}


def busy_line(read: Read = read_file, wait: Callable[[float], None] = sleep) -> str:
    """One line on how busy the machine is; nothing where it is not."""
    others = used_by_others(read, wait) or 0.0
    if others < _NOTABLE:
        return ""
    return f"machine busy: others use {others:.1f} of {len(processors())} cores; timings will say so"
