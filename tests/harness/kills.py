"""Kills runs, workers, cells and publications at random moments, and counts what that costs.

    python -m tests.harness.kills --kills 1000 --seed 0

Nothing that was finished may be lost or damaged, no process may live on, no file may be left that is no record, and
the same command finishes the rest. Prints one line with the counts; exit code 1 where one of them is not 0.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from actbench.errors import UserError
from actbench.harness.isolation.processes import MARK
from actbench.records.store import is_record, read_record

HOSTILE = Path(__file__).with_name("hostile.py")
RUN = ["run", "--plugin", str(HOSTILE), "--workload", "toy", "--methods", "printing,waiting", "--device", "cpu"]
TARGETS = ("parent", "worker", "cell", "publish")
_SETTLED = 5.0


@dataclass
class Counts:
    """What kills have cost so far."""

    kills: int = 0
    lost: int = 0
    damaged: int = 0
    orphans: int = 0
    stray: int = 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = killed(arguments.kills, arguments.seed, Path(folder))
    print(counts)
    sys.exit(any((counts.lost, counts.damaged, counts.orphans, counts.stray)))


def killed(kills: int, seed: int, folder: Path) -> Counts:
    """What so many kills cost, one after the other in the same folders."""
    chance, counts = random.Random(seed), Counts()
    results, board = folder / "results", folder / "board"
    for number in range(kills):
        before = {path: path.read_bytes() for path in _records(folder)}
        _one_kill(chance, chance.choice(TARGETS), results, board, seed=number)
        counts.kills += 1
        _settle(folder)
        for orphan in _left(folder):
            counts.orphans += 1
            print(f"kill {number}: left over: {_described(orphan)}", file=sys.stderr, flush=True)
        counts.lost += sum(not path.exists() or path.read_bytes() != content for path, content in before.items())
        counts.damaged += sum(map(_damaged, _records(folder)))
        if counts.kills % 50 == 0:
            print(counts, file=sys.stderr, flush=True)
    if _records(results):
        _command(["publish", "--results", str(results), "--out", str(board)], folder).communicate()
    for path in folder.rglob("*"):
        if path.name.endswith(".tmp") or path.name.startswith(".publish"):
            counts.stray += 1
            print(f"stray: {path.relative_to(folder)}", file=sys.stderr, flush=True)
    return counts


def _one_kill(chance: random.Random, target: str, results: Path, board: Path, seed: int) -> None:
    """Starts a run, or a publication, waits for a moment, and kills one process of it."""
    if target == "publish" and _records(results):
        process = _command(["publish", "--results", str(results), "--out", str(board)], results.parent)
    else:
        own = ["--ceilings", "2x", "--bits", "w32a32", "--seeds", str(seed), "--results", str(results)]
        process = _command([*RUN, *own], results.parent)
    time.sleep(chance.uniform(0, 4))
    victim = process.pid
    if target in ("worker", "cell"):
        marked = sorted(_marked(results.parent, process.pid))
        victim = (marked[0] if target == "worker" else marked[-1]) if marked else victim
    with suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    if victim != process.pid:
        process.send_signal(signal.SIGINT)  # the rest would take long
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=60)
    process.kill()
    process.communicate()


def _command(words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "actbench", *words]
    own = {**os.environ, "ACTBENCH_KILLS": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=own)


def _records(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.json") if is_record(path))


def _damaged(path: Path) -> bool:
    try:
        read_record(path)
    except UserError:
        return True
    return False


def _settle(folder: Path) -> None:
    """Waits until nothing is left, but not for long."""
    deadline = time.monotonic() + _SETTLED
    while any(_left(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)


def _left(folder: Path) -> Iterator[int]:
    """Processes that were started for these folders."""
    yield from (pid for pid, environment in _environments() if f"ACTBENCH_KILLS={folder}".encode() in environment)


def _described(process: int) -> str:
    """What a process is, when it began, and whether it still does anything."""
    command = ["ps", "-o", "pid=,ppid=,stat=,etimes=,time=,args=", "-p", str(process)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "gone meanwhile"


def _marked(folder: Path, parent: int) -> Iterator[int]:
    """The worker of the run for these folders, and all that it started: no other run's."""
    for pid, environment in _environments():
        own = f"ACTBENCH_KILLS={folder}".encode() in environment
        if own and any(part.startswith(f"{MARK}=".encode()) for part in environment) and pid != parent:
            yield pid


def _environments() -> Iterator[tuple[int, list[bytes]]]:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if entry.joinpath("stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                yield int(entry.name), entry.joinpath("environ").read_bytes().split(b"\0")


if __name__ == "__main__":
    main()
