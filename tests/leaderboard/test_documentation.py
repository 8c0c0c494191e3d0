"""The Python in the documentation runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from actbench.leaderboard.publish import publish
from tests.leaderboard.made_up import RECORDS

PAGE = Path(__file__).parents[2] / "docs" / "leaderboards.md"


EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_run_on_a_published_leaderboard(tmp_path: Path, code: str) -> None:
    publish(RECORDS, tmp_path / "leaderboards", "quantize")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "wavelet" in done.stdout


def test_there_are_two() -> None:
    assert len(EXAMPLES) == 2
