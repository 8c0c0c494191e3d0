"""A sample of every kind of attack that is quick, and that the runner sees one that succeeds: `python -m tests.attacks`
tries all of them."""

import io
import os
import random
import signal
from pathlib import Path

import pytest
from rich.console import Console

from tests.attacks.__main__ import report, tried
from tests.attacks.attempt import Kind, one_by_one, together
from tests.attacks.commands import actbench, check_refused
from tests.attacks.kinds import KINDS
from tests.attacks.pages import check_page
from tests.attacks.runs import HOSTILE_METHODS, differing, judged
from tests.attacks.texts import PAGES

SAMPLES = {
    "damaged records": 10,
    "injected strings": 10,
    "wrong types": 10,
    "forged records": 3,
    "checkpoints": 3,
    "folders": 3,
    "command line": 5,
}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name in SAMPLES], ids=lambda kind: kind.name)
def test_a_sample_gets_nothing(kind: Kind, tmp_path: Path) -> None:
    outcomes = tried(kind, 3, tmp_path / "attacks", SAMPLES[kind.name])
    assert len(outcomes) == SAMPLES[kind.name]
    assert [outcome for outcome in outcomes if outcome.failure] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_there_are_as_many_as_wanted(kind: Kind) -> None:
    assert len(kind.attempts(random.Random(0))) >= kind.wanted
    assert list(kind.attempts(random.Random(5))) == list(kind.attempts(random.Random(5)))


def wins(attempt: str, folder: Path) -> None:
    """Attacks that get what they want, and one that does not."""
    if attempt == "raises":
        raise ValueError("a record is lost")
    if attempt == "hangs":
        signal.pause()
    if attempt == "exits":
        os._exit(0)
    if attempt == "crashes":
        os.kill(os.getpid(), signal.SIGKILL)


ATTEMPTS = {name: name for name in ("raises", "holds", "hangs", "exits", "crashes")}


@pytest.mark.parametrize(
    "carry_out",
    [one_by_one(wins, 0.5), together(lambda part, place: [wins(name, place) for name in part] and None, 3, 0.5)],
    ids=["alone", "together"],
)
def test_an_attack_that_succeeds_is_counted(carry_out: object, tmp_path: Path) -> None:
    kind = Kind("winning", 5, lambda chance: ATTEMPTS, carry_out)
    outcomes = {outcome.name: outcome.failure for outcome in tried(kind, 0, tmp_path / "outcomes")}
    assert outcomes["holds"] == ""
    assert outcomes["raises"].startswith("ValueError: a record is lost (test_attacks.py:")
    assert outcomes["hangs"] == "not done after 0.5 s"
    assert "status 0" in outcomes["exits"]
    assert "status 9" in outcomes["crashes"]
    said = io.StringIO()
    assert report([kind], 0, tmp_path / "report", Console(file=said, width=100)) == 1
    assert "winning: 5 tried, 4 failed" in said.getvalue()
    assert "winning: raises: ValueError: a record is lost" in said.getvalue()


def test_too_few_attempts_are_no_success(tmp_path: Path) -> None:
    kind = Kind("few", 2, lambda chance: {"holds": "holds"}, one_by_one(wins))
    assert report([kind], 0, tmp_path, Console(file=io.StringIO())) == 1


def test_only_beside_others(tmp_path: Path) -> None:
    """What happens to none of them alone is a failure all the same."""

    def crowded(attempts: object, folder: Path) -> None:
        assert len(list(attempts)) < 3, "too many"  # type: ignore[call-overload]

    kind = Kind("crowd", 3, lambda chance: {"a": 1, "b": 2, "c": 3}, together(crowded, 3, 5))
    assert [outcome.failure.startswith("with 2 others: ") for outcome in tried(kind, 0, tmp_path)].count(True) == 1


@pytest.mark.parametrize("text", [PAGES[0], PAGES[2], PAGES[3], PAGES[6], PAGES[8], PAGES[9], PAGES[13], PAGES[15]])
def test_what_a_page_would_hold_is_seen(text: str, tmp_path: Path) -> None:
    page = "<html><head><title>x</title></head><body><main><h1>x</h1>{}</main></body></html>"
    check_page(page.format("text"), tmp_path / "a.html", tmp_path)
    with pytest.raises(AssertionError):
        check_page(page.format(f'<p class="{text}">{text}</p>'), tmp_path / "a.html", tmp_path)


def test_a_command_that_succeeds_was_not_refused() -> None:
    with pytest.raises(AssertionError, match="exit code 0"):
        check_refused(actbench("methods"))


def test_rows_that_are_missing_or_differ_are_seen() -> None:
    statuses = HOSTILE_METHODS.attempts(random.Random(0))["exits"]
    assert judged(None, statuses) == "it has no row"
    assert "KeyError" in differing({}, "plain-0", "plain-1")
