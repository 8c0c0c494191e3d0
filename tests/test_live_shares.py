"""Shares of what is in memory at once, beside a linear program and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from actbench.feature_map import FeatureMap, Lifetime
from actbench.live_shares import live_bits, live_shares


def feature_map(name: str, channels: int, written: int, read: int, beside: int = 0) -> FeatureMap:
    alive = Lifetime(written, read, (beside,) * (read - written + 1))
    return FeatureMap(name, channels, 1, 1, "producer", (), alive=alive)


CHAIN = (feature_map("a", 4, 1, 2), feature_map("b", 8, 2, 3), feature_map("c", 2, 3, 4))
"""Two maps in memory at once, each written while the one before is read."""


@st.composite
def networks(draw: st.DrawFn) -> tuple[FeatureMap, ...]:
    moments = draw(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 5)), min_size=1, max_size=7))
    channels = draw(st.lists(st.integers(1, 50), min_size=len(moments), max_size=len(moments)))
    parts = enumerate(zip(moments, channels, strict=True))
    return tuple(feature_map(f"map{i}", width, at, at + more) for i, ((at, more), width) in parts)


def test_bits_in_memory_at_once() -> None:
    assert live_bits(CHAIN, {"a": 4, "b": 8, "c": 2}) == 12
    assert live_bits(CHAIN, {"a": 4, "b": 1, "c": 9}) == 10
    beside = (feature_map("a", 4, 1, 2, beside=100), feature_map("b", 8, 2, 2, beside=100))
    assert live_bits(beside, {"a": 4, "b": 8}) == 112


def test_maps_without_a_lifetime_are_there_at_once() -> None:
    maps = [FeatureMap(name, 1, 1, 1, "producer", ()) for name in "abc"]
    assert live_bits(maps, dict.fromkeys("abc", 5)) == 15


def test_shares_by_hand() -> None:
    """`a` and `b` fill memory at moment 2 with a third of their bits; `c` has what `b` leaves at moment 3, but no more
    than 16 bits a value."""
    assert live_shares(CHAIN, 128, 16) == {"a": 128 // 3, "b": 256 // 3, "c": 32}
    assert live_shares(CHAIN, 10**6, 8) == {"a": 32, "b": 64, "c": 16}


def test_what_is_beside_the_maps_has_no_share() -> None:
    maps = (feature_map("a", 4, 1, 2, beside=60), feature_map("b", 4, 2, 2, beside=60))
    assert live_shares(maps, 128, 32) == {"a": 34, "b": 34}
    assert live_shares(maps, 50, 32) == {"a": 0, "b": 0}


@given(networks(), st.integers(0, 4000), st.sampled_from([2, 8, 32]))
def test_they_fit_and_none_has_more_than_it_can_use(maps: tuple[FeatureMap, ...], limit: int, width: int) -> None:
    shares = live_shares(maps, limit, width)
    assert live_bits(maps, shares) <= limit
    assert all(0 <= shares[fmap.name] <= fmap.elements * width for fmap in maps)


@given(networks(), st.integers(100, 4000))
def test_no_fairer_parting_is_possible(maps: tuple[FeatureMap, ...], limit: int) -> None:
    """The least share of any map, of its fp32 bits, is the best of a linear program: max r, with Σ r·bits ≤ limit."""
    shares = live_shares(maps, limit, 32)
    moments = {moment for fmap in maps for moment in range(fmap.alive.written, fmap.alive.read + 1)}
    alive = [[float(f.alive.written <= moment <= f.alive.read) for f in maps] for moment in sorted(moments)]
    bits = np.array([fmap.bits for fmap in maps])
    program = linprog(
        [0.0] * len(maps) + [-1.0],
        A_ub=np.vstack([np.c_[alive, np.zeros(len(alive))], np.c_[-np.eye(len(maps)), bits]]),
        b_ub=[*([limit] * len(alive)), *([0.0] * len(maps))],
        bounds=[*((0.0, float(most)) for most in bits), (0.0, 1.0)],
    )
    least = min((shares[fmap.name] + 1) / fmap.bits for fmap in maps)
    assert least >= program.x[-1] - 1e-6
    assert min(shares[fmap.name] / fmap.bits for fmap in maps) == pytest.approx(program.x[-1], abs=1 / min(bits))
