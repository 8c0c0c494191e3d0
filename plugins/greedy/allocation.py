"""Which rank and width each map may have: its ladder of settings, and the greedy descent over all maps."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from actbench.codec import Unsupported

_LEAST = 1e-9
"""Of a map's signal, in `Rung.lost`: where the predicted error is larger than the signal, too."""


@dataclass(frozen=True)
class Rung:
    """One way to store a map, the bits that it takes, and its predicted relative error. `rank` None: as it is."""

    rank: int | None
    width: int
    bits: int
    error: float

    @property
    def lost(self) -> float:
        """`A = −log(1 − e)`: what is left of the signal is about the product of what each map leaves, so that the
        losses of all maps add up."""
        return -math.log(max(1 - self.error, _LEAST))


Ladder = Sequence[Rung]
"""A map's rungs, bits falling and error rising."""

Score = Callable[[Mapping[str, Rung], str, Rung], float]
"""(all maps' rungs now, a map's name, the rung below) → how much the step is worth: the largest is taken first."""


def efficient(first: Rung, others: Iterable[Rung]) -> list[Rung]:
    """`first`, and below it every rung that has a smaller error than all that take as many bits or fewer."""
    kept: list[Rung] = []
    for rung in sorted(others, key=lambda rung: (rung.bits, rung.error)):
        if rung.bits < first.bits and (not kept or rung.error < kept[-1].error):
            kept.append(rung)
    return [first, *reversed(kept)]


def convex(ladder: Ladder) -> list[Rung]:
    """The rungs on the convex hull of bits and `lost`: each step costs more per saved bit than the one before, so that
    no step that costs much hides a cheaper one below it, and the greedy descent is the least total loss at its bits."""
    kept: list[Rung] = []
    for rung in ladder:
        while len(kept) > 1 and _price(kept[-2], kept[-1]) >= _price(kept[-1], rung):
            kept.pop()
        kept.append(rung)
    return kept


def _price(rung: Rung, below: Rung) -> float:
    return (below.lost - rung.lost) / (rung.bits - below.bits)


def fit(name: str, ladder: Ladder, limit: int) -> Rung:
    """The first rung of at most `limit` bits: the least error, since errors rise."""
    for rung in ladder:
        if rung.bits <= limit:
            return rung
    raise Unsupported(f"{name}: one component needs {ladder[-1].bits} bits; {limit} are allowed")


def allocate(ladders: Mapping[str, Ladder], limit: int, score: Score) -> dict[str, Rung]:
    """From the top rungs, takes the step with the largest score until all maps together have at most `limit` bits.

    Scores are kept in a heap, and only the one on top is computed again before its step is taken (lazy evaluation):
    with scores that do not grow while other maps shrink, this is the plain greedy choice.
    """
    least = sum(ladder[-1].bits for ladder in ladders.values())
    if least > limit:
        raise Unsupported(f"one component of every map needs {least} bits; {limit} are allowed")
    level = dict.fromkeys(ladders, 0)
    now = {name: ladder[0] for name, ladder in ladders.items()}
    heap: list[tuple[float, str]] = []

    def push(name: str) -> None:
        if level[name] + 1 < len(ladders[name]):
            heapq.heappush(heap, (-score(now, name, ladders[name][level[name] + 1]), name))

    for name in ladders:
        push(name)
    while sum(rung.bits for rung in now.values()) > limit:
        _, name = heapq.heappop(heap)
        push(name)
        if heap[0][1] == name:
            heapq.heappop(heap)
            level[name] += 1
            now[name] = ladders[name][level[name]]
            push(name)
    return now
