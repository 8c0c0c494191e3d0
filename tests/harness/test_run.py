"""Whole runs in processes of their own, on a tiny workload: what ends how, and that nothing is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actbench.runtime.integer_convolution import kernels

HOSTILE = Path(__file__).with_name("hostile.py")
Run = Callable[..., subprocess.CompletedProcess[str]]


def command(results: Path, methods: str, *more: str) -> list[str]:
    base = [sys.executable, "-m", "actbench", "run", "--plugin", str(HOSTILE), "--workload", "toy", "--device", "cpu"]
    return [*base, "--methods", methods, "--ceilings", "2x", "--bits", "w32a32", "--results", str(results), *more]


def run(results: Path, methods: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(results, methods, *more), capture_output=True, text=True, timeout=120, check=False)


def records(results: Path) -> dict[str, dict]:
    found = [json.loads(path.read_text()) for path in sorted(results.rglob("*.json"))]
    return {record["spec"]["method"]["name"]: record for record in found}


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], dict[str, dict]]:
    results = tmp_path_factory.mktemp("results")
    names = "remembering,understating,shaping,wrong-shape,not-a-number,raising,exiting,out-of-memory"
    names += ",leaking,hanging,printing"
    done = run(results, names, "--timeout", "12", "--plain", "never")
    return done, records(results)


@pytest.mark.parametrize(
    ("method", "status", "reason"),
    [
        ("none", "ok", ""),
        ("quantize", "unsupported", "needs"),
        ("remembering", "invalid", "packed payload alone"),
        ("understating", "invalid", "claims 2 bits"),
        ("shaping", "invalid", "layout"),
        ("wrong-shape", "invalid", "not (8, 8, 8)"),
        ("not-a-number", "invalid", "not finite"),
        ("raising", "crash", "ZeroDivisionError: encode cannot (hostile.py:"),
        ("exiting", "crash", "exited with code 7"),
        ("out-of-memory", "oom", "no room"),
        ("leaking", "oom", "can't allocate memory"),
        ("hanging", "timeout", "12 s"),
        ("printing", "over_ceiling", "peak 16384 bits"),
    ],
)
def test_every_end_is_a_row_with_a_true_reason(hostile_run: tuple, method: str, status: str, reason: str) -> None:
    record = hostile_run[1][method]
    assert record["status"] == status
    assert reason in record["reason"]


def test_some_failed_cells_give_exit_code_1_and_no_traceback(hostile_run: tuple) -> None:
    done, _ = hostile_run
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    for name in ("remembering", "exiting", "hanging"):
        assert name in done.stdout


def test_a_record_has_everything_that_is_measured(hostile_run: tuple) -> None:
    measured = hostile_run[1]["printing"]["measurements"]
    assert all(measured[part] for part in ("quality", "footprint", "compute", "parameters", "latency", "memory"))
    assert measured["footprint"]["peak"]["maximum"] == 8 * 8 * 8 * 32
    assert measured["quality"]["images"] == 40
    assert measured["quality"]["difference"] == 0
    assert measured["quality"]["reference_point"] == 25


def test_the_same_command_again_runs_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, "printing").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    again = run(tmp_path, "printing", "--json")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")} == before
    assert {record["spec"]["method"]["name"] for record in json.loads(again.stdout)} == {"none", "quantize", "printing"}


def test_retry_failed_tries_crashed_cells_again_and_keeps_the_old_record(tmp_path: Path) -> None:
    run(tmp_path, "exiting")
    run(tmp_path, "exiting")
    assert len(list(tmp_path.rglob("*.json"))) == 3
    run(tmp_path, "exiting", "--retry", "failed")
    crashed = [path for path in tmp_path.rglob("*.json") if json.loads(path.read_text())["status"] == "crash"]
    assert sorted(path.stem[-2:] for path in crashed) == ["-1", "-2"]


def children(parent: int) -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            yield int(stat.parent.name)


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _let_interrupts_through() -> None:
    """A shell's background jobs ignore interrupts, and hand that down: these tests may be such a job."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_and_wait_for_the_first_record(results: Path) -> subprocess.Popen[str]:
    """Starts a run whose third cell takes seconds, and waits until the first record is there and a worker works."""
    process = subprocess.Popen(
        command(results, "waiting,printing"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_let_interrupts_through,
    )
    wait_for(lambda: len(records(results)) == 2)
    return process


def test_kill_of_the_worker_costs_one_cell(tmp_path: Path) -> None:
    process = start_and_wait_for_the_first_record(tmp_path)
    for worker in children(process.pid):
        os.kill(worker, signal.SIGKILL)
    process.communicate(timeout=90)
    found = records(tmp_path)
    assert process.returncode == 1
    assert found["waiting"]["status"] == "crash"
    assert "SIGKILL" in found["waiting"]["reason"]
    assert found["printing"]["status"] == "over_ceiling"
    assert run(tmp_path, "waiting,printing", "--retry", "failed").returncode == 0
    assert {record["status"] for record in records(tmp_path).values()} <= {"ok", "unsupported", "over_ceiling"}


def test_kill_of_the_parent_loses_nothing_and_leaves_no_worker(tmp_path: Path) -> None:
    process = start_and_wait_for_the_first_record(tmp_path)
    workers = list(children(process.pid))
    assert workers
    finished = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    process.kill()
    process.communicate(timeout=30)
    wait_for(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == finished
    assert run(tmp_path, "waiting,printing").returncode == 0
    assert set(records(tmp_path)) == {"none", "quantize", "waiting", "printing"}
    assert all(path.read_bytes() == content for path, content in finished.items())


def test_ctrl_c_prints_what_there_is_and_exits_130(tmp_path: Path) -> None:
    process = start_and_wait_for_the_first_record(tmp_path)
    workers = list(children(process.pid))
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "none" in output
    assert "Traceback" not in output + errors
    assert len(records(tmp_path)) == 2
    wait_for(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))


def test_recovery_makes_an_open_cell(tmp_path: Path) -> None:
    assert run(tmp_path, "none", "--recover", "3").returncode == 0
    assert records(tmp_path)["none"]["spec"]["division"] == "open"
    assert records(tmp_path)["none"]["measurements"]["parameters"]["added"] == 0


def quantised(results: Path, *more: str, seconds: float = 120) -> dict[str, dict]:
    """The measurements of the reference and of the baseline in 8 bits."""
    words = [{"w32a32": "w8a8", "2x": "4x"}.get(word, word) for word in command(results, "none", *more)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr
    return {method: record["measurements"] for method, record in records(results).items()}


def test_a_cell_in_integers_says_which_layers_were(tmp_path: Path) -> None:
    measured = quantised(tmp_path, "--compute", "int8")
    integer = measured["quantize"]["integer"]
    assert set(integer["layers"]) | set(integer["others"]) == {"0", "2", "4"}
    found = kernels()
    assert integer["engine"] == (found.name if found else "")
    assert bool(integer["layers"]) == (found is not None and found.product >= 255 * 127)
    assert measured["none"].get("integer") is None


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_a_compiled_cell_has_both_times(tmp_path: Path) -> None:
    """Compilers write files, where a cell may write none."""
    measured = quantised(tmp_path, "--compile", "--stripe", "off", "--timeout", "250", seconds=280)
    compiled = measured["quantize"]["latency"]["compiled"]
    assert compiled["compiled"] == compiled["units"] > 0
    assert compiled["first_call"] > compiled["eager"]["subject"]["median"]
    assert measured["none"]["latency"].get("compiled") is None
