"""Many small cells through the workers of a dask scheduler on this machine, some of which are killed on the way.

Says how many cells have a record and how many have two, what a cell costs beside its own time, and the memory of the
command, which the scheduler is part of.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

from actbench.records.store import read_record, record_files

PLUGIN = Path(__file__).with_name("tiny_workload.py")
WEIGHTS = range(2, 17)
"""Widths of weights: they make cells without making work."""

_LOOK = 0.5
"""Seconds between two looks at the commands' memory."""

_TICKS = os.sysconf("SC_CLK_TCK")


def command(cells: int, workers: int, results: Path) -> list[str]:
    """`actbench run` with at least so many cells, and the reference."""
    ceilings = ",".join(f"1.{number:05d}x" for number in range(-(-cells // len(WEIGHTS))))
    bits = ",".join(f"w{width}a8" for width in WEIGHTS)
    base = [sys.executable, "-m", "actbench", "run", "--plugin", str(PLUGIN), "--workload", "tiny"]
    base += ["--methods", "quantize", "--ceilings", ceilings, "--bits", bits, "--limit", "1", "--device", "cpu"]
    return [*base, "--fit", "off", "--stripe", "off", "--results", str(results), *executor(workers)]


def executor(workers: int) -> list[str]:
    return ["--executor", "dask", "--workers", str(workers)]


class Watched:
    """A command that runs, with what it had of memory and of processors. Its lines go into a file."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.log = log
        self.peak_bytes = 0
        self.processor_seconds = 0.0
        with log.open("w") as file:
            self.process = subprocess.Popen(arguments, stdout=file, stderr=file)

    def look(self) -> bool:
        """Takes down where it stands; whether it still runs."""
        if self.process.poll() is not None:
            return False
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        peak = next((line.split()[1] for line in status if line.startswith("VmHWM")), None)
        if peak is not None:  # or it is just ending
            self.peak_bytes = 1024 * int(peak)
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        self.processor_seconds = sum(map(int, stat.rpartition(")")[2].split()[11:13])) / _TICKS
        return True

    def workers(self) -> list[int]:
        """The processes of its dask workers."""
        return [child for child in _children(self.process.pid) if b"spawn_main" in _said(child)]


def _children(parent: int) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
        except OSError:  # it has just ended
            continue
        if int(stat.rpartition(")")[2].split()[1]) == parent:
            yield int(folder.name)


def _said(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def watch(commands: list[Watched], kill_every: float, most: float) -> int:
    """Waits until all have ended, or `most` seconds; kills one worker of them every so many seconds, none for 0. How
    many were killed."""
    killed, begin = 0, monotonic()
    while sum(one.look() for one in commands):
        sleep(_LOOK)
        passed = monotonic() - begin
        if kill_every and passed > kill_every * (killed + 1):
            workers = [worker for one in commands for worker in one.workers()]
            if workers:  # or all are just starting again
                os.kill(random.choice(workers), signal.SIGKILL)
            killed += 1
        if most and passed > most:
            for one in commands:
                one.process.send_signal(signal.SIGINT)
            most = 0.0
    return killed


def stored(results: Path) -> set[Path]:
    """The records of the store."""
    return set(record_files([results])) if (results / "records").exists() else set()


def report(
    commands: list[Watched], results: Path, before: set[Path], workers: int, seconds: float, killed: int
) -> None:
    """Prints what is in the store, and what that cost which was not there `before`."""
    attempts = Counter(path.name.partition("-")[0] for path in stored(results))
    doubles = sum(number - 1 for number in attempts.values())
    records = [read_record(path) for path in stored(results) - before]
    if not records:
        sys.exit(f"nothing was measured: {commands[0].log} says why")
    own = sum(record.seconds for record in records)
    overhead = seconds * workers * len(commands) - own
    print(f"cells: {len(attempts)}, doubles: {doubles}, ends: {dict(Counter(record.status for record in records))}")
    print(f"wall time: {seconds:.0f} s, {len(records) / seconds:.2f} cells a second, {killed} workers killed")
    each = own / len(records), overhead / len(records)
    print("a cell: {:.0f} ms of its own, {:.0f} ms of a worker beside".format(*(1e3 * one for one in each)))
    for one in commands:
        print(
            f"{one.log.name}: exit code {one.process.returncode}, at most {one.peak_bytes / 2**20:.0f} MiB, "
            f"{1e3 * one.processor_seconds / len(records):.1f} ms of a processor a cell"
        )


def main() -> None:
    """Reads the arguments, runs and reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=300, help="cells, at least; the reference is one more")
    parser.add_argument("--workers", type=int, default=4, help="dask workers of a command")
    parser.add_argument("--commands", type=int, default=1, help="commands that run at once on one store")
    parser.add_argument("--kill-every", type=float, default=0.0, help="seconds after which a worker is killed; 0: none")
    parser.add_argument("--most", type=float, default=0.0, help="seconds after which it is interrupted; 0: never")
    parser.add_argument("--results", type=Path, required=True, help="the store; the same again does the rest")
    arguments = parser.parse_args()
    # In the background of a shell it is ignored, and would be by the commands.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments.results.mkdir(parents=True, exist_ok=True)
    words = command(arguments.cells, arguments.workers, arguments.results)
    before, begin = stored(arguments.results), monotonic()
    logs = [arguments.results / f"command-{number}.log" for number in range(arguments.commands)]
    commands = [Watched(words, log) for log in logs]
    killed = watch(commands, arguments.kill_every, arguments.most)
    report(commands, arguments.results, before, arguments.workers, monotonic() - begin, killed)


if __name__ == "__main__":
    main()
