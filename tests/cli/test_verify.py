"""What `verify` says of checks."""

import pytest

from actbench.cli.verify import _show
from actbench.records.record import Record
from actbench.records.repetition import Check
from tests.records import whole

CHECKS = [
    Check("peak", "8.00x", "8.00x", holds=True),
    Check("latency", "1.00x (unsteady)", "9.00x", holds=True, unsteady=True),
]


def shown(checks: list[Check], capsys: pytest.CaptureFixture[str], *, alone: bool) -> str:
    _show(Record.model_validate(whole.inference()), checks, "verified", alone=alone)
    return " ".join(capsys.readouterr().out.split())


def test_an_unsteady_time_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    table = shown(CHECKS, capsys, alone=True)
    assert "latency 1.00x (unsteady) 9.00x unsteady" in table
    assert "1 of 2 are times whose quartiles are too far apart to be compared" in table
    assert "do not hold" not in table
    assert "verified; latency: not compared, 1.00x (unsteady), here 9.00x" in shown(CHECKS, capsys, alone=False)


def test_nothing_is_said_of_steady_times(capsys: pytest.CaptureFixture[str]) -> None:
    assert "compared" not in shown(CHECKS[:1], capsys, alone=True) + shown(CHECKS[:1], capsys, alone=False)


def test_a_table_shows_the_beginning_of_a_digest(capsys: pytest.CaptureFixture[str]) -> None:
    digests = [f"sha256:{digit * 64}" for digit in "ab"]
    table = shown([Check("digest of data", *digests, holds=False)], capsys, alone=True)
    assert f"digest of data sha256:{'a' * 16}… sha256:{'b' * 16}… differs" in table
