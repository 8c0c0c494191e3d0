"""Codecs on a GPU: every method's, by the conformance kit, and a cell of each track from plan to record."""

import subprocess
import sys
from pathlib import Path

import pytest

from actbench.records.store import read_record
from actbench.registry import load_plugins
from actbench.testing.checks import CHECKS
from actbench.testing.conduct import conduct
from actbench.testing.subject import Subject

pytestmark = pytest.mark.gpu

ON_GPU = [check for check in CHECKS if check.name == "gpu"]
HOSTILE = Path(__file__).parents[1] / "harness" / "hostile.py"


@pytest.mark.parametrize("name", sorted(load_plugins().methods))
def test_every_codec_decodes_to_the_same_values(name: str) -> None:
    (outcome,) = conduct(Subject(name), ON_GPU).checks
    assert outcome.status in ("passed", "skipped"), outcome.reason


@pytest.mark.parametrize(
    "more", [["--bits", "w8a2-8"], ["--track", "training", "--recover", "2", "--bits", "w32a2-8"]], ids=len
)
def test_a_cell_is_measured_and_its_memory_is_not_predicted(more: list[str], tmp_path: Path) -> None:
    arguments = ["--plugin", str(HOSTILE), "--workload", "toy", "--device", "cuda", "--results", str(tmp_path)]
    command = [sys.executable, "-m", "actbench", "run", *arguments, "--methods", "none", "--ceilings", "6x", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    records = [read_record(path) for path in tmp_path.rglob("*.json")]
    assert {record.cell.method.name for record in records if record.status == "ok"} >= {"none", "quantize"}, done.stderr
    for record in records:
        assert record.measurements.predicted_memory is None
        if record.measurements.memory is not None:
            assert record.measurements.memory.reserved_bytes is not None
