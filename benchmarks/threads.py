"""Convolutions by one and two threads, in turn: alone and beside a busy process, with and without passive waits.

`python benchmarks/threads.py [ROUNDS]`
"""

import os
import statistics
import subprocess
import sys

from actbench.harness.load import PASSIVE_WAITS

WORKER = """
import sys, time, torch
from actbench.harness.load import watch
torch.set_num_threads(int(sys.argv[1]))
convolution, x = torch.nn.Conv2d(64, 64, 3, padding=1), torch.randn(16, 64, 64, 64)
with torch.no_grad():
    for _ in range(5): torch.relu(convolution(x))
    print("ready", flush=True)
    for _ in sys.stdin:
        watched, processor, begin = watch(), time.process_time(), time.perf_counter()
        for _ in range(8): torch.relu(convolution(x))
        seconds = time.perf_counter() - begin, time.process_time() - processor
        print(*(1e3 * one / 8 for one in seconds), watched.stop()["others"], flush=True)
"""


def worker(threads: int, waits: dict[str, str]) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name not in {"OMP_NUM_THREADS", *PASSIVE_WAITS}}
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(threads)],
        env={**environment, **waits},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ask(process: subprocess.Popen[str]) -> list[float]:
    assert process.stdin is not None
    assert process.stdout is not None
    print("go", file=process.stdin, flush=True)
    return [float(value) for value in process.stdout.readline().split()]


def main(rounds: int) -> None:
    """Prints a line for each way: wall time of one convolution with quartiles, processor time, share of others."""
    waits = {"default": {}, "passive": PASSIVE_WAITS}
    workers = {(threads, name): worker(threads, waits[name]) for threads in (1, 2) for name in waits}
    measured: dict[tuple[int, int, str], list[list[float]]] = {}
    for _ in range(rounds):
        for busy in (0, 1):
            others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
            for way, process in workers.items():
                measured.setdefault((busy, *way), []).append(ask(process))
            for other in others:
                other.kill()
                other.wait()
    for (busy, threads, name), rows in sorted(measured.items()):
        wall, processor, share = zip(*rows, strict=True)
        low, middle, high = statistics.quantiles(wall, n=4)
        print(
            f"busy processes {busy}, threads {threads}, waits {name}: {middle:.1f} ms [{low:.1f}, {high:.1f}], "
            f"processor {statistics.median(processor):.1f} ms, others {statistics.median(share):.2f}"
        )
    for process in workers.values():
        process.kill()
        process.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
