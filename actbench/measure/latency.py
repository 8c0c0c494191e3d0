"""Time of one call: against a baseline, in interleaved rounds, and of parts of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

import numpy
import torch

from actbench.measure.device import mark, seconds_between, synchronize
from actbench.records.parts.latency import Comparison, Timing

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


def timed(function: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call: wall time on the CPU; on a GPU between two events on the current stream."""
    if device.type == "cuda":
        synchronize(device)
    start = _mark(device)
    function()
    return _seconds(start, _mark(device))


_Mark = Any  # a point in time: a torch.Event on a GPU, which works behind Python's back; else the clock's seconds


class Clock:
    """Adds up spans of time, those within a `with`; a span within another opens no second one."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._depth = 0
        self._begin: _Mark = 0.0
        self._spans: list[tuple[_Mark, _Mark]] = []

    def __enter__(self) -> Clock:
        if self._depth == 0:
            self._begin = _mark(self._device)
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._spans.append((self._begin, _mark(self._device)))

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
