"""Ranks that say no more than the measurements do."""

from __future__ import annotations

from collections.abc import Sequence

from actbench.records.record import Record


def shared_ranks(records: Sequence[Record]) -> list[int]:
    """The rank of each record by quality, larger being better: 1 for the best, and for all whose 95 % interval reaches
    the best one's value; the next is the best of the rest, with a rank that counts all before it, and so on."""
    qualities = [record.measurements.quality for record in records]
    values = [quality.value if quality else float("-inf") for quality in qualities]
    uppers = [quality.interval[1] if quality else float("-inf") for quality in qualities]
    order = sorted(range(len(records)), key=lambda index: -values[index])
    ranks = [0] * len(records)
    leader, rank = float("inf"), 0
    for place, index in enumerate(order, 1):
        if rank == 0 or uppers[index] < leader:
            leader, rank = values[index], place
        ranks[index] = rank
    return ranks
