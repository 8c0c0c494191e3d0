"""What is finished survives, whatever is killed: shortly here, `python -m tests.harness.kills` does it at length."""

from pathlib import Path

import pytest

from tests.harness.kills import Counts, killed


@pytest.mark.slow
def test_kills_cost_nothing_that_was_finished(tmp_path: Path) -> None:
    assert killed(12, seed=1, folder=tmp_path) == Counts(kills=12)
