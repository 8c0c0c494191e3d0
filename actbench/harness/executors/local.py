"""Workers on this machine: one, or as many as are asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import replace

from actbench.errors import UserError
from actbench.harness.executors import PAUSE, CellResult, Cells, Listener, Places
from actbench.harness.executors.warm import WarmWorker
from actbench.harness.load import allowed_cores
from actbench.harness.messages import Preparation
from actbench.spec import CellSpec

_NO_MORE = ""


class Local:
    """Runs cells one after the other, or with several workers side by side on as many cores each as there are for it.
    Cells side by side take turns with what is timed."""

    def __init__(self, places: Places) -> None:
        if places.scheduler:
            raise UserError("--scheduler is an address for --executor dask: --executor local has none")
        self._workers = places.workers or 1

    def run(self, preparation: Preparation, cells: Cells, listener: Listener, timeout: float) -> None:
        """Runs every cell, as `Executor.run` says."""
        shared = _Shared(cells)
        if self._workers == 1:
            with WarmWorker(preparation) as worker:
                _serve(worker, shared, listener, timeout)
            return
        threads = preparation.threads or max(1, int(allowed_cores()) // self._workers)
        preparation, told = replace(preparation, threads=threads, shared=True), _one_at_a_time(listener)
        # Workers end behind the pool, too: a thread may start a process while they are ended.
        with ExitStack() as ending, ThreadPoolExecutor(self._workers) as pool:
            workers = [ending.enter_context(WarmWorker(preparation)) for _ in range(self._workers)]
            serving = [pool.submit(_serve, worker, shared, told, timeout) for worker in workers]
            try:
                for done in as_completed(serving):
                    done.result()
            finally:
                shared.stop()
                for worker in workers:
                    worker.end()


class _Shared:
    """Cells that several threads take, each another one, until they are stopped."""

    def __init__(self, cells: Cells) -> None:
        self._cells = iter(cells)
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def __iter__(self) -> Iterator[CellSpec]:
        while not self.stopped:
            with self._lock:
                cell = next(self._cells, _NO_MORE)
            if isinstance(cell, CellSpec):
                yield cell
            elif cell is None:
                self._stopped.wait(PAUSE)
            else:
                return

    @property
    def stopped(self) -> bool:
        """Whether no cell is given any more."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Gives no cell any more."""
        self._stopped.set()


def _serve(worker: WarmWorker, cells: _Shared, listener: Listener, timeout: float) -> None:
    for cell in cells:
        listener.started(cell)
        result = worker.run(cell, listener.step, timeout)
        if not cells.stopped:  # or its process was ended in the middle, which is no end of a cell
            listener.ended(result)


def _one_at_a_time(listener: Listener) -> Listener:
    """The same listener, told by one thread at a time."""
    lock = threading.Lock()

    def started(cell: CellSpec) -> None:
        with lock:
            listener.started(cell)

    def step(name: str, done: int, total: int) -> None:
        with lock:
            listener.step(name, done, total)

    def ended(result: CellResult) -> None:
        with lock:
            listener.ended(result)

    return Listener(started, step, ended)
