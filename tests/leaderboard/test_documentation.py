"""The Python in the documentation runs."""

import re
import subprocess
import sys
from pathlib import Path

from actbench.leaderboard.publish import publish
from tests.leaderboard.made_up import RECORDS

PAGE = Path(__file__).parents[2] / "docs" / "leaderboards.md"


def test_the_example_runs_on_a_published_leaderboard(tmp_path: Path) -> None:
    publish(RECORDS, tmp_path / "leaderboards", "quantize")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "wavelet" in done.stdout
