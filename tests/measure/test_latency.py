import time
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from actbench.measure.latency import Stopwatch, interleaved, timed

CPU = torch.device("cpu")


class Clock:
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
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("actbench.measure.latency.perf_counter", clock)
    return clock


def test_timed_is_the_time_of_one_call(clock: Clock) -> None:
    assert timed(clock.takes("a", 0.25), CPU) == 0.25
    assert clock.calls == ["a"]


def test_ratio_and_timings(clock: Clock) -> None:
    latency = interleaved(clock.takes("a", 3), clock.takes("b", 2), batch=8, device=CPU, seconds=1e9)
    assert latency.batch == 8
    assert (latency.ratio, latency.ratio_quartiles) == (1.5, (1.5, 1.5))
    assert latency.subject.samples == [3] * 15
    assert (latency.baseline.median, latency.baseline.quartiles) == (2, (2, 2))


def test_quartiles_are_those_of_the_samples(clock: Clock) -> None:
    latency = interleaved(
        clock.takes("a", 1, 2, 3, 4, 5), clock.takes("b", 1), batch=1, device=CPU, rounds=5, warmup=0, seconds=1e9
    )
    assert latency.subject.samples == [1, 2, 3, 4, 5]
    assert (latency.subject.median, latency.subject.quartiles) == (3, (2, 4))
    assert (latency.ratio, latency.ratio_quartiles) == (3, (2, 4))


def test_ratio_is_taken_round_by_round(clock: Clock) -> None:
    # The machine gets slower from round to round, by much more than the two differ.
    subject, baseline = clock.takes("a", 2, 20, 200, 2000, 20000), clock.takes("b", 1, 10, 100, 1000, 10000)
    latency = interleaved(subject, baseline, batch=1, device=CPU, rounds=5, warmup=0, seconds=1e9)
    assert (latency.ratio, latency.ratio_quartiles) == (2, (2, 2))


def test_order_alternates_and_both_are_called_equally_often(clock: Clock) -> None:
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


class Takes(nn.Module):
    def __init__(self, clock: Clock, seconds: float, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.clock = clock
        self.duration = seconds
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        self.clock.now += self.duration
        return x if self.inner is None else self.inner(x)


class Fails(Takes):
    def forward(self, x: Tensor) -> Tensor:
        super().forward(x)
        raise RuntimeError("as intended")


def hooks(network: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in network.modules())


def test_stopwatch_sums_only_what_is_inside(clock: Clock) -> None:
    encode, decode, other = Takes(clock, 1), Takes(clock, 10), Takes(clock, 100)
    network = nn.Sequential(other, encode, decode, other, encode)
    with Stopwatch({"encode": [encode], "decode": [decode], "absent": []}, CPU) as watch:
        network(torch.zeros(1))
        clock.now += 1000
    assert watch.seconds == {"encode": 2, "decode": 10, "absent": 0}
    network(torch.zeros(1))
    assert watch.seconds == {"encode": 2, "decode": 10, "absent": 0}
    assert hooks(network) == 0


def test_stopwatch_counts_modules_inside_one_another_once(clock: Clock) -> None:
    inner = Takes(clock, 1)
    outer = Takes(clock, 2, inner)
    with Stopwatch({"both": [outer, inner], "inner": [inner]}, CPU) as watch:
        outer(torch.zeros(1))
        inner(torch.zeros(1))
    assert watch.seconds == {"both": 4, "inner": 2}


def test_stopwatch_counts_a_modules_own_hooks(clock: Clock) -> None:
    module = Takes(clock, 1)
    module.register_forward_pre_hook(lambda *_: clock.takes("hook", 2)())
    module.register_forward_hook(lambda *_: clock.takes("hook", 4)())
    with Stopwatch({"module": [module]}, CPU) as watch:
        module(torch.zeros(1))
    assert watch.seconds == {"module": 7}


def test_stopwatch_can_be_entered_again_and_goes_on(clock: Clock) -> None:
    module = Takes(clock, 1)
    watch = Stopwatch({"module": [module]}, CPU)
    for _ in range(2):
        with watch:
            module(torch.zeros(1))
    assert watch.seconds == {"module": 2}


def test_stopwatch_removes_its_hooks_and_stops_on_an_error(clock: Clock) -> None:
    network = nn.Sequential(Takes(clock, 1), Fails(clock, 2))
    watch = Stopwatch({"all": list(network)}, CPU)
    with pytest.raises(RuntimeError, match="as intended"), watch:
        network(torch.zeros(1))
    assert hooks(network) == 0
    clock.now += 1000
    assert watch.seconds == {"all": 3}


def test_stopwatch_keeps_the_result(clock: Clock) -> None:
    network = nn.Linear(3, 3)
    x = torch.randn(2, 3)
    with Stopwatch({"linear": [network]}, CPU):
        assert torch.equal(network(x), torch.nn.functional.linear(x, network.weight, network.bias))
