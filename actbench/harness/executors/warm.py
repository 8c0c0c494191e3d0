"""A warm worker process on this machine; killed, and replaced by a fresh one, where a cell takes too long or dies."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from actbench.errors import UserError
from actbench.harness.executors import CellResult
from actbench.harness.isolation.processes import MARK, end_marked
from actbench.harness.load import waits
from actbench.harness.messages import Preparation, receive, send
from actbench.harness.worker import forks
from actbench.spec import CellSpec

if TYPE_CHECKING:
    from actbench.records.record import Status

Step = Callable[[str, int, int], None]
"""Is told of a step of a cell, `done` of `total` where that is known."""

_LOG_TAIL = 2000

_GRACE = 10.0
"""Seconds for which a worker may keep its answer after a cell's time is up; then it is lost itself."""


_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}
"""For glibc: what a worker frees stays with it for what comes next, as it does on a GPU; asking the system for fresh
pages at every large tensor took up to a third of a cell's time."""


_MOST_OF_MEMORY = 0.5
"""A worker that holds more than this share of the machine's memory after a cell makes room for a fresh one."""


class WarmWorker:
    """Runs cells of one workload one after the other. A fresh process takes over where one is lost, ran out of memory,
    or holds so much of it after a cell that the next one could."""

    def __init__(self, preparation: Preparation) -> None:
        self._preparation = preparation
        self._process: _Process | None = None
        self._method = ""

    def __enter__(self) -> WarmWorker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def run(self, cell: CellSpec, step: Step, timeout: float) -> CellResult:
        """How a cell ended that had `timeout` seconds at most. Raises UserError where the workload cannot be loaded."""
        if not forks(self._preparation.device) and cell.method.name != self._method:
            self.end()
        process, self._method = self._process or _Process(), cell.method.name
        self._process = process
        result = _run_cell(process, self._preparation, cell, step, timeout)
        if not process.alive or result.status == "oom" or process.memory_share > _MOST_OF_MEMORY:
            self.end()
        return result

    def end(self) -> None:
        """Ends the process, if there is one, and all that it started."""
        if self._process is not None:
            self._process.kill()
            self._process = None


def _run_cell(worker: _Process, preparation: Preparation, cell: CellSpec, step: Step, timeout: float) -> CellResult:
    started, begin = datetime.now(timezone.utc).isoformat(timespec="seconds"), monotonic()

    def result(status: Status, reason: str, **more: Any) -> CellResult:
        seconds = round(monotonic() - begin, 3)
        return CellResult(cell, status, reason, started, seconds, environment=worker.environment, **more)

    try:
        if worker.environment is None:
            step("load", 0, 0)
            worker.prepare(preparation, timeout)
            begin = monotonic()
        outcome, load = worker.measure(cell, step, timeout)
    except TimeoutError:
        worker.kill()
        return result("timeout", f"not done after {timeout:g} s; --timeout gives it more")
    except _WorkerLost as lost:
        return result("crash", str(lost), warnings=lost.warnings)
    measured = result(outcome["status"], outcome["reason"], measurements=outcome["measurements"])
    environment = {**(measured.environment or {}), "load": load}
    return replace(measured, warnings=outcome["warnings"], environment=environment)


class _WorkerLost(Exception):
    """The worker ended without an answer."""

    def __init__(self, reason: str, log: str) -> None:
        super().__init__(reason)
        self.warnings = [log] if log else []


class _Process:
    """A worker process and the two pipes to it."""

    def __init__(self) -> None:
        self.environment: dict[str, Any] | None = None
        self._mark = secrets.token_hex(16)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "actbench.harness.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**_KEEP_MEMORY, **waits(), **os.environ, MARK: self._mark},
            start_new_session=True,  # Ctrl-C reaches the parent alone, which decides
        )
        self._lines: SimpleQueue[bytes] = SimpleQueue()
        threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it can take another cell."""
        return self._process.poll() is None and self.environment is not None

    @property
    def memory_share(self) -> float:
        """Resident memory as a share of the machine's; 0 where the system does not say."""
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
            return pages / os.sysconf("SC_PHYS_PAGES")
        except (OSError, ValueError, IndexError):
            return 0.0

    def prepare(self, preparation: Preparation, timeout: float) -> None:
        """Loads the workload. Raises UserError where the worker refuses."""
        self._send(prepare=preparation.to_json())
        message = self._receive(monotonic() + timeout)
        if message["event"] == "refused":
            raise UserError(message["message"])
        self.environment = message["environment"]

    def measure(self, cell: CellSpec, step: Step, timeout: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """The outcome of one cell, and the machine's load meanwhile."""
        deadline = monotonic() + timeout + _GRACE
        self._send(cell=cell.canonical(), timeout=timeout)
        while (message := self._receive(deadline))["event"] == "step":
            step(message["step"], message["done"], message["total"])
        if message["event"] == "refused":
            raise UserError(message["message"])
        return message["outcome"], message["load"]

    def kill(self) -> None:
        """Ends it and everything that it started, in whichever session."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        end_marked(self._mark)
        self._log.close()

    def _send(self, **message: Any) -> None:
        assert self._process.stdin is not None
        try:
            send(self._process.stdin, **message)
        except BrokenPipeError:
            raise self._lost() from None

    def _receive(self, deadline: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=max(0.0, deadline - monotonic()))
        except Empty:
            raise TimeoutError from None
        if not line:
            raise self._lost()
        return receive(line)

    def _lost(self) -> _WorkerLost:
        code = self._process.wait()
        if code < 0:
            reason = f"the worker was killed by {signal.Signals(-code).name}"
            reason += "; often a sign that memory ran out" if -code == signal.SIGKILL else ""
        else:
            reason = f"the worker exited with code {code}"
        self._log.seek(0)
        log = self._log.read().decode(errors="replace")[-_LOG_TAIL:].strip()
        return _WorkerLost(reason, log)


def _read(stream: IO[bytes], lines: SimpleQueue[bytes]) -> None:
    """Hands on the worker's answers; an empty line says that it is gone."""
    for line in stream:
        lines.put(line)
    lines.put(b"")
