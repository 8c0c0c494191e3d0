"""The worker: a process that loads a workload once and measures cells, one after the other, until it is told to stop.

`python -m actbench.harness.worker` reads messages from standard input and answers on what was standard output when
it started; whatever else prints goes to standard error. It ends when its parent does.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
from queue import SimpleQueue
from time import monotonic
from typing import IO, Any

from actbench.errors import UserError
from actbench.harness.messages import Preparation, receive, send

_PROGRESS_INTERVAL = 0.1

_SHARE_OF_MEMORY = 0.9
"""Of the machine's: more than this no worker gets, so that what leaks fails itself, and not the machine."""


def main() -> None:
    """Serves one parent."""
    answers = _claim_standard_output()
    messages = _listen(sys.stdin.buffer)
    try:
        worker = _Worker(Preparation.from_json(messages.get()["prepare"]), answers)
    except UserError as error:
        send(answers, event="refused", message=str(error))
        return
    send(answers, event="ready", environment=worker.environment())
    while "cell" in (message := messages.get()):
        worker.run(message["cell"])


class _Worker:
    def __init__(self, preparation: Preparation, answers: IO[bytes]) -> None:
        import torch

        from actbench.harness.workbench import Workbench
        from actbench.info import load_target
        from actbench.registry import load_plugins
        from actbench.workloads.base import WorkloadSettings

        self._answers = answers
        if preparation.device == "cpu":  # a GPU's driver reserves addresses without using them
            _limit_memory()
        if preparation.threads is not None:
            torch.set_num_threads(preparation.threads)
        self._registry = load_plugins(preparation.plugin_files)
        self._device = torch.device(preparation.device)
        info = self._registry.workload(preparation.workload)
        settings = WorkloadSettings(preparation.data, preparation.weights, preparation.limit)
        self._bench = Workbench(load_target(info.target)(settings), info, self._device)
        # Loaded now, so that a damaged checkpoint or missing images end the run before its first cell.
        assert self._bench.network
        assert len(self._bench.evaluation)
        self._last = 0.0

    def environment(self) -> dict[str, Any]:
        from actbench.harness.environment import machine, revision, versions

        return {"versions": versions(), "machine": machine(self._device.type), "revision": revision()}

    def run(self, canonical: dict[str, Any]) -> None:
        from actbench.harness.inference import run_cell
        from actbench.spec import CellSpec

        cell = CellSpec.from_canonical(canonical)
        outcome = run_cell(self._bench, cell, self._registry.method(cell.method.name), self._progress)
        send(self._answers, event="result", outcome=outcome.to_json())

    def _progress(self, step: str, done: int, total: int) -> None:
        now = monotonic()
        if not total or done == total or now - self._last > _PROGRESS_INTERVAL:
            self._last = now
            send(self._answers, event="step", step=step, done=done, total=total)


def _limit_memory() -> None:
    """Allocations beyond the limit fail with an error that says so."""
    most = int(_SHARE_OF_MEMORY * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _claim_standard_output() -> IO[bytes]:
    """Keeps standard output for answers: a plugin's print, even from C, must not be taken for one."""
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return os.fdopen(answers, "wb")


def _listen(stream: IO[bytes]) -> SimpleQueue[dict[str, Any]]:
    """Reads messages in a thread of its own, and ends the process at once when the parent is gone."""
    messages: SimpleQueue[dict[str, Any]] = SimpleQueue()

    def read() -> None:
        for line in stream:
            messages.put(receive(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return messages


if __name__ == "__main__":
    main()
