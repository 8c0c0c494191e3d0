"""Workers of a dask scheduler, on many machines or on this one.

Each of dask's workers has a warm worker process of ours beside it, which may be killed, so that a cell that hangs or
dies costs nothing but itself, and runs one cell at a time on as many threads as dask gives it. Results come back to
this process, which writes the records: there is one that writes, whichever machine measured.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from typing_extensions import override

from actbench.errors import UserError
from actbench.harness.executors import PAUSE, CellResult, Cells, Listener, Places
from actbench.harness.executors.warm import WarmWorker
from actbench.harness.messages import Preparation
from actbench.spec import CellSpec

try:
    import dask
    from distributed import Client, Future, KilledWorker, LocalCluster, Worker, WorkerPlugin, get_worker
except ImportError:
    raise UserError("--executor dask needs dask's scheduler: install actbench[cluster]") from None

_GPU = "GPU"
"""The resource that dask's workers with a GPU declare, one for each."""

_ANSWER = 5
"""Seconds in which a scheduler answers."""

_MOST_LOSSES = 10
"""Workers that a cell may lose before it is a crash: it is not to blame for machines that are taken away, but one that
takes every worker along must not go on for ever."""

_SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,  # every loss is told, and counted here
    "distributed.worker.daemon": False,  # they start processes of ours
    "distributed.deploy.lost-worker-timeout": "1 hour",  # one that is slow to start again would be given up
    "distributed.nanny.pre-spawn-environ": {},  # which would set threads to one
    "distributed.admin.low-level-log-length": 100,  # of ten thousand cells, the log would be the memory
}


class Dask:
    """Runs cells on the workers of a scheduler, or on `workers` of its own on this machine."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def run(self, preparation: Preparation, cells: Cells, listener: Listener, timeout: float) -> None:
        """Runs every cell, as `Executor.run` says. Raises UserError where there is no scheduler at the address."""
        with _client(self._places) as client:
            try:
                _carry_out(client, preparation, cells, listener, timeout)
            except (OSError, CancelledError) as error:
                if client.status == "running":
                    raise
                raise UserError("the scheduler is gone: the same command does what is missing") from error


def _carry_out(client: Client, preparation: Preparation, cells: Cells, listener: Listener, timeout: float) -> None:
    """Runs cells on workers that this run alone prepares, under a name of its own: another run on the same scheduler
    may have another workload."""
    name = f"actbench-{uuid4().hex}"
    client.register_plugin(_Warm(preparation), name=name)
    _Flow(client, name, preparation.device, listener, timeout).carry_out(cells)
    client.unregister_worker_plugin(name)


@dataclass(frozen=True)
class _Flight:
    """A cell that is somewhere, and how many workers it has lost."""

    cell: CellSpec
    lost: int = 0


class _Flow:
    """Keeps as many cells under way as there are workers, and no more: what waits, other runs may claim."""

    def __init__(self, client: Client, plugin: str, device: str, listener: Listener, timeout: float) -> None:
        self._client = client
        self._plugin = plugin
        self._resources = {_GPU: 1} if device == "cuda" and _declares(client, _GPU) else None
        self._listener = listener
        self._timeout = timeout
        self._flights: dict[str, _Flight] = {}
        self._futures: dict[str, Future] = {}
        self._landed: SimpleQueue[str] = SimpleQueue()

    def carry_out(self, cells: Cells) -> None:
        """Runs every cell, until there is none left."""
        source, left = iter(cells), True
        while left or self._flights:
            cell = next(source, False) if left and len(self._flights) < self._workers() else None
            if isinstance(cell, CellSpec):
                self._listener.started(cell)
                self._start(_Flight(cell))
            else:
                left = left and cell is not False
                self._wait()

    def _workers(self) -> int:
        return max(1, len(self._client.nthreads()))

    def _start(self, flight: _Flight) -> None:
        cell = flight.cell
        future = self._client.submit(
            _measure,
            self._plugin,
            cell.canonical(),
            self._timeout,
            key=f"{self._plugin}-{cell.key}-{flight.lost}",
            pure=False,
            resources=self._resources,
        )
        self._flights[future.key], self._futures[future.key] = flight, future
        future.add_done_callback(lambda done: self._landed.put(done.key))

    def _wait(self) -> None:
        """Takes in what has landed, if anything does before long."""
        try:
            key = self._landed.get(timeout=PAUSE)
        except Empty:
            return
        flight, future = self._flights.pop(key), self._futures.pop(key)
        error = future.exception()
        if error is None:
            result: CellResult = future.result()
            self._listener.ended(replace(result, warnings=[*result.warnings, *_said(flight.lost)]))
        elif isinstance(error, KilledWorker) and flight.lost < _MOST_LOSSES:
            self._start(replace(flight, lost=flight.lost + 1))
        elif isinstance(error, KilledWorker):
            self._listener.ended(CellResult(flight.cell, "crash", f"{flight.lost + 1} workers were lost with it"))
        else:
            raise error


class _Warm(WorkerPlugin):  # type: ignore[misc]  # the library is not typed
    """Beside each of dask's workers a warm worker of ours, from the first cell on."""

    def __init__(self, preparation: Preparation) -> None:
        self._preparation = preparation.to_json()

    @override
    def setup(self, worker: Worker) -> None:
        """Is called by dask on every worker, also on those that come later."""
        preparation = Preparation.from_json(self._preparation)
        threads = preparation.threads or worker.state.nthreads
        self._worker = WarmWorker(replace(preparation, threads=threads, shared=True))
        self._one = threading.Lock()

    @override
    def teardown(self, worker: Worker) -> None:
        """Is called by dask when a worker, or the run, ends."""
        self._worker.end()

    def run(self, cell: CellSpec, timeout: float) -> CellResult:
        """How a cell ended; one at a time, however many dask sends."""
        with self._one:
            return self._worker.run(cell, lambda step, done, total: None, timeout)


def _measure(plugin: str, canonical: dict[str, Any], timeout: float) -> CellResult:
    """On one of dask's workers."""
    warm: _Warm = get_worker().plugins[plugin]
    return warm.run(CellSpec.from_canonical(canonical), timeout)


@contextmanager
def _client(places: Places) -> Iterator[Client]:
    if places.scheduler:
        try:
            client = Client(places.scheduler, timeout=_ANSWER)
        except (OSError, ValueError) as error:
            raise UserError(f"--scheduler {places.scheduler}: no scheduler answers there ({error})") from error
        with client:
            yield client
        return
    with dask.config.set(_SETTINGS):
        cluster = LocalCluster(n_workers=places.workers or 1, threads_per_worker=1, dashboard_address=None)
        with cluster, Client(cluster) as client:
            yield client


def _declares(client: Client, resource: str) -> bool:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return any(resource in worker["resources"] for worker in workers)


def _said(lost: int) -> list[str]:
    return [f"measured at attempt {lost + 1}: the workers of the others were lost"] if lost else []
