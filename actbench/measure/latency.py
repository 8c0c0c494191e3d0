"""Time of one call: against a baseline, in interleaved rounds, and inside chosen modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from types import TracebackType
from typing import Any

import numpy
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from actbench.measure.device import mark, seconds_between, synchronize
from actbench.records.parts.latency import Comparison, Latency, Timing

_FEWEST_ROUNDS = 5


def interleaved(
    subject: Callable[[], object],
    baseline: Callable[[], object],
    *,
    batch: int,
    device: torch.device,
    rounds: int = 15,
    warmup: int = 3,
    seconds: float = 1.0,
) -> Comparison:
    """Times both in turn, the one first that came last in the round before, so that a drift of the machine cancels.

    Stops after `rounds`, or once `seconds` are spent, but not before 5 rounds. `warmup` calls of each come first, fewer
    where one takes as long as that, and count for neither. Raises ValueError for fewer than 5 rounds.
    """
    if rounds < _FEWEST_ROUNDS:
        raise ValueError(f"{rounds} rounds: at least {_FEWEST_ROUNDS} are needed")
    begin = perf_counter()
    for call in range(warmup):
        if call == 0 or perf_counter() - begin < seconds:
            subject()
            baseline()
    times: list[tuple[float, float]] = []
    begin = perf_counter()
    while len(times) < rounds and (len(times) < _FEWEST_ROUNDS or perf_counter() - begin < seconds):
        times.append(_round(subject, baseline, device, subject_first=len(times) % 2 == 0))
    ratio = _timing([ours / theirs for ours, theirs in times])
    subjects, baselines = zip(*times, strict=True)
    return Comparison(
        batch=batch,
        subject=_timing(subjects),
        baseline=_timing(baselines),
        ratio=ratio.median,
        ratio_quartiles=ratio.quartiles,
    )


def with_stages(comparison: Comparison, *, encode: float, decode: float) -> Latency:
    """A latency of which the seconds in encoders and in decoders are known too."""
    return Latency(
        batch=comparison.batch,
        subject=comparison.subject,
        baseline=comparison.baseline,
        ratio=comparison.ratio,
        ratio_quartiles=comparison.ratio_quartiles,
        encode=encode,
        decode=decode,
    )


def timed(function: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call: wall time on the CPU; on a GPU between two events on the current stream."""
    if device.type == "cuda":
        synchronize(device)
    start = _mark(device)
    function()
    return _seconds(start, _mark(device))


class Stopwatch:
    """Sums the time spent in groups of modules while it is entered: around one call of a network, its share in each.

    `with Stopwatch({"encode": encoders, "decode": decoders}, device) as watch: network(images)`, then `watch.seconds`.
    A group's clock runs while any of its modules is being called, so that modules inside one another count once.
    """

    def __init__(self, groups: Mapping[str, Iterable[nn.Module]], device: torch.device) -> None:
        self._clocks = {name: Clock(device) for name in groups}
        self._groups = {name: list(modules) for name, modules in groups.items()}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Stopwatch:
        for name, modules in self._groups.items():
            clock = self._clocks[name]
            for module in modules:
                # Before and after the module's other hooks, and stopped by an exception too.
                self._handles.append(module.register_forward_pre_hook(clock.start, prepend=True))
                self._handles.append(module.register_forward_hook(clock.stop, always_call=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._handles:
            self._handles.pop().remove()

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by group, over all calls so far; waits for a GPU to finish them."""
        return {name: clock.seconds() for name, clock in self._clocks.items()}


_Mark = Any  # a point in time: a torch.Event on a GPU, which works behind Python's back; else the clock's seconds


class Clock:
    """Adds up spans of time, those between `start` and `stop` or within a `with`. A start within a span opens no second
    one."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._depth = 0
        self._begin: _Mark = 0.0
        self._spans: list[tuple[_Mark, _Mark]] = []

    def start(self, *_: Any) -> None:
        """A forward pre-hook."""
        if self._depth == 0:
            self._begin = _mark(self._device)
        self._depth += 1

    def stop(self, *_: Any) -> None:
        """A forward hook."""
        self._depth -= 1
        if self._depth == 0:
            self._spans.append((self._begin, _mark(self._device)))

    def __enter__(self) -> Clock:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def seconds(self) -> float:
        """Seconds of all spans so far; waits for a GPU to finish them."""
        return sum(_seconds(begin, end) for begin, end in self._spans)


def _mark(device: torch.device) -> _Mark:
    return mark(device) if device.type == "cuda" else perf_counter()


def _seconds(begin: _Mark, end: _Mark) -> float:
    return seconds_between(begin, end) if isinstance(begin, torch.Event) else float(end - begin)


def _round(
    subject: Callable[[], object], baseline: Callable[[], object], device: torch.device, *, subject_first: bool
) -> tuple[float, float]:
    if subject_first:
        ours = timed(subject, device)
        return ours, timed(baseline, device)
    theirs = timed(baseline, device)
    return timed(subject, device), theirs


def _timing(samples: Iterable[float]) -> Timing:
    samples = list(samples)
    first, median, third = (float(value) for value in numpy.quantile(samples, [0.25, 0.5, 0.75]))
    return Timing(median=median, quartiles=(first, third), samples=samples)
