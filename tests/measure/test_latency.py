import time
from collections.abc import Callable, Iterator

import pytest
import torch

from actbench.measure.latency import Clock, interleaved, timed

CPU = torch.device("cpu")


class StandingClock:
    """Stands still unless told to go on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def takes(self, name: str, *seconds: float) -> Callable[[], None]:
        """A function that takes so long; with several durations, one after the other and again."""
        durations = cycle(seconds)

        def function() -> None:
            self.calls.append(name)
            self.now += next(durations)

        return function


def cycle(values: tuple[float, ...]) -> Iterator[float]:
    while True:
        yield from values


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StandingClock:
    clock = StandingClock()
    monkeypatch.setattr("actbench.measure.latency.perf_counter", clock)
    return clock


def test_timed_is_the_time_of_one_call(clock: StandingClock) -> None:
    assert timed(clock.takes("a", 0.25), CPU) == 0.25
    assert clock.calls == ["a"]


def test_ratio_and_timings(clock: StandingClock) -> None:
    latency = interleaved(clock.takes("a", 3), clock.takes("b", 2), batch=8, device=CPU, seconds=1e9)
    assert latency.batch == 8
    assert (latency.ratio, latency.ratio_quartiles) == (1.5, (1.5, 1.5))
    assert latency.subject.samples == [3] * 15
    assert (latency.baseline.median, latency.baseline.quartiles) == (2, (2, 2))


def test_quartiles_are_those_of_the_samples(clock: StandingClock) -> None:
    latency = interleaved(
        clock.takes("a", 1, 2, 3, 4, 5), clock.takes("b", 1), batch=1, device=CPU, rounds=5, warmup=0, seconds=1e9
    )
    assert latency.subject.samples == [1, 2, 3, 4, 5]
    assert (latency.subject.median, latency.subject.quartiles) == (3, (2, 4))
    assert (latency.ratio, latency.ratio_quartiles) == (3, (2, 4))


def test_ratio_is_taken_round_by_round(clock: StandingClock) -> None:
    # The machine gets slower from round to round, by much more than the two differ.
    subject, baseline = clock.takes("a", 2, 20, 200, 2000, 20000), clock.takes("b", 1, 10, 100, 1000, 10000)
    latency = interleaved(subject, baseline, batch=1, device=CPU, rounds=5, warmup=0, seconds=1e9)
    assert (latency.ratio, latency.ratio_quartiles) == (2, (2, 2))


def test_order_alternates_and_both_are_called_equally_often(clock: StandingClock) -> None:
    interleaved(clock.takes("a", 1), clock.takes("b", 1), batch=1, device=CPU, rounds=6, warmup=2, seconds=1e9)
    assert "".join(clock.calls) == "abab" + "abbaabbaabba"


@pytest.mark.parametrize(("seconds", "rounds"), [(0, 5), (9.5, 5), (13.5, 7), (1000, 15)])
def test_stops_when_the_time_is_spent_but_not_before_five_rounds(clock: Clock, seconds: float, rounds: int) -> None:
    latency = interleaved(clock.takes("a", 1), clock.takes("b", 1), batch=1, device=CPU, seconds=seconds)
    assert len(latency.subject.samples) == len(latency.baseline.samples) == rounds


def test_refuses_fewer_than_five_rounds() -> None:
    with pytest.raises(ValueError, match="at least 5"):
        interleaved(int, int, batch=1, device=CPU, rounds=4)


def spin(seconds: float) -> Callable[[], None]:
    def function() -> None:
        end = time.thread_time() + seconds  # of this thread: other processes on the machine do not shorten it
        while time.thread_time() < end:
            pass

    return function


def test_the_same_work_has_ratio_one_and_twice_the_work_a_larger() -> None:
    same = interleaved(spin(0.002), spin(0.002), batch=1, device=CPU, seconds=60)
    twice = interleaved(spin(0.004), spin(0.002), batch=1, device=CPU, seconds=60)
    assert 0.7 < same.ratio < 1.4
    assert twice.ratio > 1.3
    assert same.baseline.median >= 0.002


def test_clock_sums_only_what_is_inside(clock: StandingClock) -> None:
    watch = Clock(CPU)
    for seconds in (1, 10):
        with watch:
            clock.now += seconds
        clock.now += 1000
    assert watch.seconds() == 11


def test_clock_counts_a_span_within_another_once(clock: StandingClock) -> None:
    watch = Clock(CPU)
    with watch:
        clock.now += 1
        with watch:
            clock.now += 2
    assert watch.seconds() == 3


def test_clock_stops_on_an_error(clock: StandingClock) -> None:
    watch = Clock(CPU)

    def fail() -> None:
        with watch:
            clock.now += 3
            raise RuntimeError("as intended")

    with pytest.raises(RuntimeError, match="as intended"):
        fail()
    clock.now += 1000
    assert watch.seconds() == 3
