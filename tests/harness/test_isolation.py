"""A method reaches neither another method's row, nor evaluation images, nor what runs it."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from actbench.records.record import Record
from actbench.records.store import read_record

REACHING = Path(__file__).with_name("reaching.py")
BASE = [sys.executable, "-m", "actbench", "run", "--plugin", str(REACHING), "--workload", "reached", "--device", "cpu"]


def run(results: Path, methods: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Record]]:
    """Under a ceiling that four bits a value hold."""
    command = [*BASE, "--methods", methods, "--ceilings", "8x", "--results", str(results), "--timeout", "60"]
    marks = {"ACTBENCH_TEST_MARKS": str(results.parent)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env={**os.environ, **marks, **environment}
    )
    read = [read_record(path) for path in results.rglob("*.json")]
    return done, {record.cell.method.name: record for record in read}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """All of them in one run, the honest method last."""
    names = "spoiling,curious,leaving,garbling,staying,largebatches,inglobals,ondisk,infield,undefined,plain"
    return run(tmp_path_factory.mktemp("reach") / "results", names)[1]


def numbers(record: Record) -> dict[str, Any]:
    """All that does not depend on the clock."""
    measured = record.measurements.model_dump()
    return {part: measured[part] for part in ("quality", "footprint", "compute", "parameters", "memory")}


def test_an_honest_row_is_the_same_beside_all_the_others(rows: dict[str, Record], tmp_path: Path) -> None:
    _, alone = run(tmp_path / "results", "plain")
    assert rows["plain"].status == alone["plain"].status == "ok"
    for name in ("plain", "none", "quantize"):
        assert numbers(rows[name]) == numbers(alone[name])


def test_what_a_method_does_to_the_network_it_does_to_a_copy(rows: dict[str, Record]) -> None:
    """Patched classes are its own process's: its own row may well be lost by that, and nobody else's."""
    assert rows["spoiling"].status in ("ok", "crash", "invalid")
    assert rows["plain"].measurements.quality is not None
    assert rows["none"].measurements.quality is not None
    assert rows["none"].measurements.quality.difference == 0


def test_evaluation_images_are_not_in_the_process_that_plans(rows: dict[str, Record]) -> None:
    assert rows["curious"].status == "ok"
    assert "77" not in rows["curious"].warnings[0]
    assert "within reach: False" in rows["curious"].warnings[0]


@pytest.mark.parametrize(
    ("method", "status", "reason"),
    [
        ("largebatches", "invalid", "has not seen the images"),
        ("inglobals", "invalid", "has not seen the images"),
        ("ondisk", "crash", "File too large"),
        ("infield", "invalid", "is no Field"),
        ("undefined", "invalid", "choices.bits"),
        ("leaving", "crash", "SystemExit: enough"),
        ("garbling", "ok", ""),
        ("staying", "ok", ""),
    ],
)
def test_every_attempt_has_its_row(rows: dict[str, Record], method: str, status: str, reason: str) -> None:
    assert (rows[method].status, rows[method].reason) == (status, rows[method].reason)
    assert reason in rows[method].reason


def test_nothing_is_left_behind(rows: dict[str, Record]) -> None:
    assert rows["staying"].status == "ok"
    time.sleep(0.5)
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().split(b"\0")
        except OSError:
            continue
        assert b"left-behind" not in words, process


@pytest.mark.parametrize(("broken", "says"), [("key", "KeyError: 'layer9' (reaching.py:"), ("exit", "SystemExit: 3")])
def test_a_workload_that_cannot_be_loaded_is_one_line_once(tmp_path: Path, broken: str, says: str) -> None:
    done, records = run(tmp_path / "results", "plain", ACTBENCH_TEST_BROKEN=broken)
    assert done.returncode == 2
    assert says in done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("machine busy")]
    assert len(lines) == 1, done.stderr
    assert records == {}


def test_a_cell_may_be_given_its_own_memory(tmp_path: Path) -> None:
    hostile = str(Path(__file__).with_name("hostile.py"))
    words = ["run", "--plugin", hostile, "--workload", "toy", "--device", "cpu", "--methods", "leaking"]
    more = ["--ceilings", "2x", "--bits", "w32a32", "--memory", "3GiB", "--results", str(tmp_path)]
    command = [sys.executable, "-m", "actbench", *words, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "--retry failed" in done.stdout
    statuses = {read_record(path).cell.method.name: read_record(path).status for path in tmp_path.rglob("*.json")}
    assert (statuses["leaking"], statuses["none"]) == ("oom", "ok")
