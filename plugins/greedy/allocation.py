"""Which rank and width each map may have: its settings, and the greedy descent over all maps."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from actbench.codec import Unsupported

_LEAST_SIGNAL = 1e-9
"""The least part of a map's signal that `Setting.lost` counts with, where the predicted error is larger than it too."""


@dataclass(frozen=True)
class Setting:
    """One way to store a map, the bits that it takes, and its predicted relative error. `rank` None: as it is."""

    rank: int | None
    width: int
    bits: int
    error: float

    @property
    def lost(self) -> float:
        """The loss `A = −log(1 − e)`: what is left of the signal is about the product of what each map leaves, so that
        the losses of all maps add up."""
        return -math.log(max(1 - self.error, _LEAST_SIGNAL))


Settings = Sequence[Setting]
"""A map's settings, bits falling and error rising."""

Score = Callable[[Mapping[str, Setting], str, Setting], float]
"""How much a step down is worth, from the settings that all maps have, a map's name, and its next lower setting. The
step with the largest score is taken first."""


def efficient(first: Setting, others: Iterable[Setting]) -> list[Setting]:
    """The efficient settings: `first`, and below it each with a smaller error than all that take no more bits."""
    kept: list[Setting] = []
    for setting in sorted(others, key=lambda setting: (setting.bits, setting.error)):
        if setting.bits < first.bits and (not kept or setting.error < kept[-1].error):
            kept.append(setting)
    return [first, *reversed(kept)]


def convex(settings: Settings) -> list[Setting]:
    """The settings on the convex hull of bits and `lost`: each step costs more per saved bit than the one before, so
    that no step that costs much hides a cheaper one below it, and the greedy descent is the least total loss at its
    bits."""
    hull: list[Setting] = []
    for setting in settings:
        while len(hull) > 1 and _price(hull[-2], hull[-1]) >= _price(hull[-1], setting):
            hull.pop()
        hull.append(setting)
    return hull


def _price(upper: Setting, lower: Setting) -> float:
    """Loss per saved bit of the step from one setting to a lower one."""
    return (lower.lost - upper.lost) / (upper.bits - lower.bits)


def fit(name: str, settings: Settings, limit: int) -> Setting:
    """The first setting of at most `limit` bits: the least error, since errors rise."""
    for setting in settings:
        if setting.bits <= limit:
            return setting
    raise Unsupported(f"{name}: one component needs {settings[-1].bits} bits; {limit} are allowed")


def allocate(settings: Mapping[str, Settings], limit: int, score: Score) -> dict[str, Setting]:
    """Takes from all maps' first settings the step with the largest score, until together they have at most `limit`
    bits.

    Scores are kept in a heap, and only the one on top is computed again before its step is taken (lazy evaluation):
    with scores that do not grow while other maps shrink, this is the plain greedy choice.
    """
    needed = sum(map_settings[-1].bits for map_settings in settings.values())
    if needed > limit:
        raise Unsupported(f"one component of every map needs {needed} bits; {limit} are allowed")
    level = dict.fromkeys(settings, 0)
    chosen = {name: map_settings[0] for name, map_settings in settings.items()}
    heap: list[tuple[float, str]] = []

    def push(name: str) -> None:
        if level[name] + 1 < len(settings[name]):
            heapq.heappush(heap, (-score(chosen, name, settings[name][level[name] + 1]), name))

    for name in settings:
        push(name)
    while sum(setting.bits for setting in chosen.values()) > limit:
        _, name = heapq.heappop(heap)
        push(name)
        if heap[0][1] == name:
            heapq.heappop(heap)
            level[name] += 1
            chosen[name] = settings[name][level[name]]
            push(name)
    return chosen
