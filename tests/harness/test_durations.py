"""What is left of a run takes as long as what is like it took."""

from dataclasses import replace

import pytest

from actbench.budget import Bits, Budget, Ceiling
from actbench.harness.durations import Durations, in_words, kinds_of
from actbench.settings import Inference
from actbench.spec import CellSpec, MethodSpec, WorkloadSpec
from tests.leaderboard.made_up import record


def cell(method: str, ceiling: str = "8x", steps: int = 0) -> CellSpec:
    budget = Budget(Ceiling.parse(ceiling), Bits.parse("w8a2-8"))
    return CellSpec(WorkloadSpec("toy", {}), MethodSpec(method, "1"), budget, settings=Inference(recover=steps))


def known(*took: tuple[CellSpec, float], status: str = "crash") -> Durations:
    like = record("a", status=status, value=None)
    return Durations(
        like.model_copy(update={"spec": one.canonical(), "key": one.key, "seconds": seconds}) for one, seconds in took
    )


def test_the_closest_likeness_is_taken() -> None:
    took = known(
        (cell("slow"), 90.0), (cell("slow", "16x"), 110.0), (cell("quick"), 10.0), (cell("slow", steps=200), 500.0)
    )
    assert took.of(kinds_of(cell("slow"))) == 90.0
    assert took.of(kinds_of(cell("slow", "32x"))) == 100.0, "the method under other ceilings"
    assert took.of(kinds_of(cell("other"))) == pytest.approx(70.0), "the division"
    assert took.of(kinds_of(cell("other", steps=200))) == 500.0
    assert took.of(kinds_of(replace(cell("other", steps=3), settings=Inference(recover=3)))) == 500.0
    assert took.sum([kinds_of(cell("slow")), kinds_of(cell("quick"))]) == 100.0
    assert took.sum([]) == 0.0


def test_nothing_is_guessed() -> None:
    assert Durations().of(kinds_of(cell("a"))) is None
    assert Durations().sum([kinds_of(cell("a"))]) is None
    assert known((cell("a"), 0.1), status="unsupported").of(kinds_of(cell("a"))) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89.4, "89 s"), (90, "2 min"), (3600, "60 min"), (5999, "1 h 40 min"), (12_000, "3 h 20 min")],
)
def test_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
