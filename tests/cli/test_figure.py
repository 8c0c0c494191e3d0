"""`actbench figure`: pictures of boards and of a record."""

import subprocess
import sys
from pathlib import Path

from actbench.records.store import Store
from tests.leaderboard.made_up import RECORDS


def figure(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "actbench", "figure", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_pictures_of_a_folder_and_of_a_record(tmp_path: Path) -> None:
    path, _ = [Store(tmp_path / "results").add(one) for one in RECORDS][1]
    done = figure(str(tmp_path / "results"), "--out", str(tmp_path / "figures"))
    assert done.returncode == 0, done.stderr
    assert [file.name for file in sorted((tmp_path / "figures").iterdir())] == [
        "toy-w8a2-8-inference-closed-differences.svg",
        "toy-w8a2-8-inference-closed-trade.svg",
    ]
    done = figure(str(path), "--out", str(tmp_path / "maps"))
    assert done.returncode == 0, done.stderr
    assert [file.name for file in (tmp_path / "maps").iterdir()] == [f"{path.stem}-footprint.svg"]
    failed = figure(str(tmp_path / "nothing"))
    assert failed.returncode == 2
    assert len(failed.stderr.splitlines()) == 1
