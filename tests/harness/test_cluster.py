"""Cells on the workers of a dask scheduler: each once, wherever workers are lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from distributed import Client, LocalCluster, Worker, WorkerPlugin

from actbench.errors import UserError
from actbench.harness.executors import CellResult, Listener, Places
from actbench.harness.executors.cluster import _SETTINGS, Dask, _Flow
from actbench.harness.messages import Preparation
from actbench.spec import CellSpec
from tests.leaderboard.made_up import record

HOSTILE = Path(__file__).with_name("hostile.py")
CELLS = [record(f"method-{number}").cell for number in range(12)]


class Recorded(WorkerPlugin):  # type: ignore[misc]
    """Stands where the warm worker stands: writes down who had which cell and when, and measures nothing."""

    def __init__(self, folder: Path, *, kills: bool = False) -> None:
        self.folder = folder
        self.kills = kills

    def setup(self, worker: Worker) -> None:
        self.worker = worker.address

    def run(self, cell: CellSpec, timeout: float) -> CellResult:
        mark = self.folder / f"{cell.key}.lost"
        if self.kills and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        begin = monotonic()
        sleep(0.05)
        span = {"worker": self.worker, "begin": begin, "end": monotonic()}
        (self.folder / f"{cell.key}-{threading.get_ident()}.json").write_text(json.dumps(span))
        return CellResult(cell, "ok", seconds=0.05)


def carried_out(client: Client, device: str, cells: list[CellSpec], plugin: str = "a run") -> list[CellResult]:
    ended: list[CellResult] = []
    listener = Listener(lambda cell: None, lambda step, done, total: None, ended.append)
    _Flow(client, plugin, device, listener, 60).carry_out(cells)
    return ended


def spans(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.glob("*.json")]


def test_workers_share_no_gpu(tmp_path: Path) -> None:
    """Each of two workers declares one, and threads enough for four cells."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=4, processes=False, dashboard_address=None, resources={"GPU": 1}
        ) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(Recorded(tmp_path), name="a run")
        ended = carried_out(client, "cuda", CELLS)
    assert sorted(result.cell.key for result in ended) == sorted(cell.key for cell in CELLS)
    had = spans(tmp_path)
    assert len({span["worker"] for span in had}) == 2
    for one in had:
        beside = [other for other in had if other is not one and other["worker"] == one["worker"]]
        assert all(other["end"] <= one["begin"] or one["end"] <= other["begin"] for other in beside)


def test_runs_on_one_scheduler_keep_to_their_own_workers(tmp_path: Path) -> None:
    """What one run has prepared, another workload for example, measures none of the other's cells."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        for name in ("one", "another"):
            (tmp_path / name).mkdir()
            client.register_plugin(Recorded(tmp_path / name), name=name)
        for name, cells in (("one", CELLS[:4]), ("another", CELLS[:3])):
            assert len(carried_out(client, "cpu", cells, name)) == len(cells)
    assert [len(spans(tmp_path / name)) for name in ("one", "another")] == [4, 3]


class Failing(WorkerPlugin):  # type: ignore[misc]
    """Raises what is nobody's loss."""

    def run(self, cell: CellSpec, timeout: float) -> CellResult:
        raise UserError("the workload cannot be loaded")


def test_an_error_is_no_lost_worker() -> None:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(Failing(), name="a run")
        with pytest.raises(UserError, match="cannot be loaded"):
            carried_out(client, "cpu", CELLS[:1])


@pytest.mark.slow
def test_a_cell_is_not_to_blame_for_its_worker(tmp_path: Path) -> None:
    import dask

    with (
        dask.config.set(_SETTINGS),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(Recorded(tmp_path, kills=True), name="a run")
        ended = carried_out(client, "cpu", CELLS[:3])
    assert sorted(result.cell.key for result in ended) == sorted(cell.key for cell in CELLS[:3])
    assert {result.status for result in ended} == {"ok"}
    assert all("the workers of the others were lost" in result.warnings[0] for result in ended)
    # A worker may be lost with a result that nobody has fetched: then the cell is measured once more.
    assert len(spans(tmp_path)) >= 3


def test_no_scheduler_is_one_line() -> None:
    with pytest.raises(UserError, match="no scheduler answers there"):
        Dask(Places(scheduler="tcp://127.0.0.1:9")).run(
            Preparation("toy", "cpu"), CELLS, Listener(print, print, print), 60
        )


@pytest.mark.slow
def test_the_same_records_as_on_one_worker(tmp_path: Path) -> None:
    read: dict[str, dict[str, Any]] = {}
    for name, more in (("local", []), ("dask", ["--executor", "dask", "--workers", "2"])):
        command = [sys.executable, "-m", "actbench", "run", "--workload", "toy", "--plugin", str(HOSTILE)]
        command += ["--methods", "quantize,dct", "--ceilings", "1x,2x", "--results", str(tmp_path / name), *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, done.stderr
        paths = (tmp_path / name / "records" / "toy").glob("*.json")
        read[name] = {path.name: json.loads(path.read_text()) for path in paths}
    assert read["local"].keys() == read["dask"].keys()
    for name, one in read["local"].items():
        other = read["dask"][name]
        for part in ("quality", "footprint", "compute", "fit"):
            assert one["measurements"].get(part) == other["measurements"].get(part), part


@pytest.mark.slow
def test_where_the_scheduler_is_lost_the_same_command_does_the_rest(tmp_path: Path) -> None:
    address = f"tcp://127.0.0.1:{_free_port()}"
    actbench = [sys.executable, "-m", "actbench", "run", "--workload", "toy", "--plugin", str(HOSTILE)]
    actbench += ["--methods", "quantize,dct,waiting", "--ceilings", "1x,2x,4x", "--results", str(tmp_path / "results")]
    records = tmp_path / "results" / "records" / "toy"
    scheduler, worker = _dask("scheduler", "--port", address.rpartition(":")[2]), _dask("worker", address)
    try:
        command = [*actbench, "--executor", "dask", "--scheduler", address]
        running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while not list(records.glob("*.json")):
            assert running.poll() is None, running.communicate()
            sleep(0.1)
        scheduler.kill()
        _, said = running.communicate(timeout=120)
    finally:
        for process in (scheduler, worker):
            process.kill()
    assert running.returncode == 2, said
    assert said.strip().endswith("the same command does what is missing")
    finished = {path: path.read_bytes() for path in records.glob("*.json")}
    assert 0 < len(finished) < 10
    done = subprocess.run(actbench, capture_output=True, text=True, timeout=280, check=False)
    assert "10 of 10 cells have a record" in done.stdout, done.stderr
    assert {path: path.read_bytes() for path in finished} == finished


def _dask(*arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard"]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
