"""Records that are what they say, and records that were edited."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HOSTILE = Path(__file__).with_name("hostile.py")
ACTBENCH = [sys.executable, "-m", "actbench"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ACTBENCH, *arguments], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of plain quantisation on the tiny workload."""
    results = tmp_path_factory.mktemp("results")
    base = ["run", "--plugin", str(HOSTILE), "--workload", "toy", "--device", "cpu", "--results", str(results)]
    done = run(*base, "--methods", "none", "--ceilings", "6x", "--bits", "w8a2-8")
    assert done.returncode == 0, done.stderr
    (path,) = [path for path in results.rglob("*.json") if "quantize" in path.read_text()]
    return path


def edited(published: Path, folder: Path, change: Any) -> Path:
    data = json.loads(published.read_text())
    change(data)
    path = folder / published.name
    path.write_text(json.dumps(data))
    return path


def verify(path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return run("verify", str(path), "--plugin", str(HOSTILE), *more)


def test_a_true_record_is_verified(published: Path) -> None:
    done = verify(published)
    # Times on a busy machine may differ: nothing else may.
    differing = [line for line in done.stdout.splitlines() if "differs" in line]
    assert [line for line in differing if "ratio" not in line] == [], done.stdout
    assert ("verified" in done.stdout) == (done.returncode == 0) == (differing == [])


def better(data: dict[str, Any]) -> None:
    quality = data["measurements"]["quality"]
    quality["value"], quality["interval"] = 99.5, [99.0, 100.0]


def smaller(data: dict[str, Any]) -> None:
    data["measurements"]["footprint"]["peak"]["maximum"] -= 1


@pytest.mark.parametrize(("change", "says"), [(better, "quality"), (smaller, "peak bits")])
def test_an_edited_record_is_not(published: Path, tmp_path: Path, change: Any, says: str) -> None:
    done = verify(edited(published, tmp_path, change))
    assert done.returncode == 1
    assert any(says in line and "differs" in line for line in done.stdout.splitlines()), done.stdout
    assert "do not hold" in done.stdout


def test_another_environment_is_named_and_nothing_is_run(published: Path, tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        from actbench.spec import CellSpec

        data["spec"]["workload"]["digests"] = {"data": "other"}
        data["spec"]["method"]["version"] = "0"
        data["key"] = CellSpec.from_canonical(data["spec"]).key

    for more in ((), ("--environment-only",)):
        done = verify(edited(published, tmp_path, change), *more)
        assert done.returncode == 1
        assert "2 of 3 checks do not hold" in done.stdout


def test_the_environment_alone(published: Path) -> None:
    done = verify(published, "--environment-only")
    assert done.returncode == 0
    assert "the environment is the same" in done.stdout


def test_what_cannot_be_verified(published: Path, tmp_path: Path) -> None:
    missing = run("verify", str(published))
    assert missing.returncode == 2
    assert "toy" in missing.stderr
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    assert run("verify", str(broken)).returncode == 2


def test_a_folder_of_records_is_marked(published: Path, tmp_path: Path) -> None:
    folder = published.parents[2]
    done = run("verify", str(folder), "--plugin", str(HOSTILE), "--save")
    assert "of 2 records hold" in done.stdout, done.stderr
    marks = list(folder.rglob("*.verified.json"))
    assert len(marks) == 2
    assert all(json.loads(mark.read_text())["environment"]["machine"]["cores"] for mark in marks)
    listed = run("show", str(published))
    assert listed.returncode == 0, "a mark is no record"
    assert run("verify", str(tmp_path)).returncode == 2
    both = run("verify", str(published), "--save", "--environment-only")
    assert both.returncode == 2


def test_another_processor_rounds_otherwise(published: Path, tmp_path: Path) -> None:
    def elsewhere(data: dict[str, Any]) -> None:
        data["environment"]["machine"]["cpu"] = "another"
        data["measurements"]["footprint"]["traffic"]["maximum"] += 1

    def more(data: dict[str, Any]) -> None:
        elsewhere(data)
        data["measurements"]["footprint"]["traffic"]["maximum"] *= 2

    def differing(change: Any) -> list[str]:
        lines = verify(edited(published, tmp_path, change)).stdout.splitlines()
        return [line for line in lines if "differs" in line and "ratio" not in line]

    assert differing(elsewhere) == []
    assert len(differing(more)) == 1
