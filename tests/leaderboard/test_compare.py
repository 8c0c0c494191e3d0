"""Two sets of records, and what is said of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from actbench.errors import UserError
from actbench.leaderboard.compare import compare
from actbench.leaderboard.frame import load_records
from actbench.leaderboard.publish import publish
from actbench.records.record import Record
from actbench.records.store import Store
from tests.leaderboard.made_up import RECORDS, record


def test_nothing_changed() -> None:
    found = compare(RECORDS, RECORDS)
    assert (found.changes, found.compared, found.only_before, found.only_after) == ((), len(RECORDS), (), ())


def test_what_is_beyond_the_interval() -> None:
    before = [record("a", value=80.0), record("b", value=80.0), record("c", value=80.0), record("d", value=None)]
    after = [
        record("a", value=81.9),
        record("b", value=82.1),
        record("c", value=77.0, bits=120),
        record("d", value=None, status="crash", reason="why"),
        record("e"),
    ]
    found = compare(before, after)
    said = [(change.cell, change.measure, change.before, change.after, change.verdict) for change in found.changes]
    assert said == [
        ("toy: b 8x w8a2-8", "quality", "79.00 … 81.00", "81.10 … 83.10", "better"),
        ("toy: c 8x w8a2-8", "quality", "79.00 … 81.00", "76.00 … 78.00", "worse"),
        *(
            ("toy: c 8x w8a2-8", measure, "128", "120", "better")
            for measure in ("peak bits", "mean peak bits", "traffic bits", "mean traffic bits")
        ),
        ("toy: d 8x w8a2-8", "status", "ok", "crash", "worse"),
    ]
    assert found.only_after == ("toy: e 8x w8a2-8",)


def test_another_version_of_a_plugin_is_the_same_cell() -> None:
    own = record("a")
    spec = own.spec | {"method": {**own.spec["method"], "version": "2"}}
    newer = own.model_copy(update={"spec": spec})
    assert compare([own], [newer]).compared == 1


def test_why_no_cell_is_on_both_sides() -> None:
    def of(**changed: object) -> Record:
        own = record("a")
        spec = own.spec | changed
        return own.model_copy(update={"spec": spec})

    limited = of(workload={**record("a").spec["workload"], "limit": 5})
    assert compare([record("a"), record("b")], [of(seed=1, protocol=1), limited]).unlike == ("workload.limit",)
    assert compare([record("a")], [record("a")]).unlike == ()
    assert compare([], [record("a")]).unlike == ()


def test_a_board_has_the_records_of_its_workload(tmp_path: Path) -> None:
    publish(RECORDS, tmp_path, "quantize")
    assert load_records(tmp_path / "boards" / "toy") == load_records(tmp_path / "records" / "toy")
    with pytest.raises(UserError, match="no records in"):
        load_records(tmp_path / "boards")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "actbench", "compare", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_command(tmp_path: Path) -> None:
    for name, value in (("a", 80.0), ("b", 85.0)):
        Store(tmp_path / name).add(record("wavelet", value=value))
    done = run(str(tmp_path / "a"), str(tmp_path / "b"))
    assert done.returncode == 0, done.stderr
    assert "wavelet 8x" in done.stdout
    assert "better" in done.stdout
    assert "1 cells compared, 1 changes" in done.stdout
    (file,) = (tmp_path / "a").rglob("*.json")
    as_json = json.loads(run(str(file), str(tmp_path / "b"), "--json").stdout)
    assert as_json["changes"][0]["verdict"] == "better"
    missing = run(str(tmp_path / "none"), str(tmp_path / "b"))
    assert missing.returncode == 2
    assert len(missing.stderr.splitlines()) == 1
