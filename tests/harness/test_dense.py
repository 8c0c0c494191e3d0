"""A dense workload from the command line to records."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from actbench.records.store import read_record

RUN = "run --workload photos-upscale --methods none --ceilings 8x --limit 6 --fit off --plain never --device cpu"


@pytest.mark.slow
def test_a_network_that_enlarges_photographs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "actbench", *RUN.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    records = {record.cell.method.name: record for record in map(read_record, tmp_path.rglob("*.json"))}
    assert set(records) == {"none", "quantize"}
    quality = records["quantize"].measurements.quality
    assert quality is not None
    assert (quality.metric, quality.unit, quality.images, quality.reference_point) == ("psnr", "dB", 6, 31.7)
    assert quality.value < quality.reference
    assert quality.per_image is not None, "pairs of images tell methods apart"
