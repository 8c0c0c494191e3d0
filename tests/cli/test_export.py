"""`actbench export`: from a record, or a method, to files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def actbench(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "actbench", *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name a record, or a method with --method"),
        (["record.json", "--method", "wcc"], "name a record, or a method with --method"),
        (["record.json", "--limit", "3"], "--limit: the record says that already; leave it out"),
        (["record.json"], "record.json"),
        (["--method", "nothing"], "no method 'nothing'"),
        (["--method", "checkpoint"], "checkpoint has no inference track"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], says: str, tmp_path: Path) -> None:
    done = actbench("export", *arguments, "--out", "taken", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "taken").exists()


@pytest.mark.slow
def test_the_network_of_a_record_or_nothing(tmp_path: Path) -> None:
    ran = actbench("run", "--methods", "prochan", "--ceilings", "8x", "--limit", "8", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    records = {path: json.loads(path.read_text()) for path in (tmp_path / "results").rglob("*.json")}
    (record,) = (path for path, read in records.items() if read["spec"]["method"]["name"] == "prochan")
    arguments = ("export", str(record), "--format", "torch", "--out")
    done = actbench(*arguments, "taken", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "top-1 is the same in 8 of 8" in done.stdout
    made, written = (json.loads(path.read_text()) for path in (tmp_path / "taken" / "export.json", record))
    assert made["record"] == written["key"]
    assert made["bits"]["traffic"] == written["measurements"]["footprint"]["traffic"]["maximum"]

    written["spec"]["method"]["version"] = "0"
    record.write_text(json.dumps(written))
    refused = actbench(*arguments, "forged", cwd=tmp_path)
    assert refused.returncode == 2
    assert not (tmp_path / "forged").exists()


@pytest.mark.slow
def test_the_documented_command(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason='needs `pip install "actbench[onnx]"`')
    command = next(line for line in (DOCS / "export.md").read_text().splitlines() if line.startswith("actbench export"))
    done = actbench(*command.split()[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "onnxruntime" in done.stdout
    assert (tmp_path / "taken" / "network.onnx").exists()


@pytest.mark.slow
def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['onnx'] = None; from actbench.__main__ import main; main()"
    arguments = ["export", "--method", "quantize", "--limit", "4", "--format", "onnx", "--out", "taken"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert 'pip install "actbench[onnx]"' in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "taken").exists()
