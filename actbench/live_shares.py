"""Parts a ceiling on what is in memory at once among the maps that are there together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

from actbench.feature_map import FLOAT_BITS, FeatureMap


def live_bits(maps: Sequence[FeatureMap], stored: Mapping[str, int]) -> int:
    """Counts the most bits that are in memory at once: of the maps `stored`, by their names, and beside them in fp32
    what is no map."""
    with_maps = (beside + sum(stored[fmap.name] for fmap in together) for together, beside in _moments(maps).items())
    return max(*with_maps, maps[0].alive.elsewhere)


@lru_cache(maxsize=8)
def live_shares(maps: tuple[FeatureMap, ...], limit: int, width: int) -> Mapping[str, int]:
    """Bits for each map, by its name, so that all that is in memory at once fits into `limit`: max-min fair.

    All maps grow together, in proportion to their sizes. One stops where it has all that codes of the largest `width`
    need, or where memory is full at one of its moments; the others go on.
    """
    shares: dict[str, int] = {}
    growing = {fmap.name: fmap for fmap in maps}
    moments = _moments(maps)
    while growing:
        enough = {name: Fraction(width, FLOAT_BITS) for name in growing}
        for together, beside in moments.items():
            room = limit - beside - sum(shares.get(fmap.name, 0) for fmap in together)
            still = [fmap for fmap in together if fmap.name in growing]
            whole = sum(fmap.bits for fmap in still)
            for fmap in still:
                enough[fmap.name] = min(enough[fmap.name], max(Fraction(0), Fraction(room, whole)))
        least = min(enough.values())
        for name in [name for name, share in enough.items() if share == least]:
            shares[name] = int(least * growing.pop(name).bits)
    return shares


def _moments(maps: Sequence[FeatureMap]) -> dict[tuple[FeatureMap, ...], int]:
    """Finds the sets of maps that are in memory together at some moment, and the most bits that are beside each."""
    moments: dict[tuple[FeatureMap, ...], int] = {}
    for moment in sorted({moment for fmap in maps for moment in range(fmap.alive.written, fmap.alive.read + 1)}):
        together = tuple(fmap for fmap in maps if fmap.alive.written <= moment <= fmap.alive.read)
        beside = together[0].alive.bits_beside(moment)
        moments[together] = max(moments.get(together, 0), beside)
    return moments
