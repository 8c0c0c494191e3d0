"""Which step of the greedy descent is worth most: the method's metric, and three for ablation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from actbench_plugins.greedy.allocation import Ladder, Rung, Score

_EPSILON = 1e-9
"""What a step without any error is taken to cost."""


def by_error(ladders: Mapping[str, Ladder]) -> Score:
    """`ΔB / (max(0, ΔA) + ε)`, A the predicted error behind the readers."""

    def score(now: Mapping[str, Rung], name: str, below: Rung) -> float:
        return (now[name].bits - below.bits) / (max(0.0, below.error - now[name].error) + _EPSILON)

    return score


def by_ratio(ladders: Mapping[str, Ladder]) -> Score:
    """What is left of a map's bits: the map that has been reduced least is next, so that all ratios stay alike."""
    return lambda now, name, below: now[name].bits / ladders[name][0].bits


def by_energy(ladders: Mapping[str, Ladder]) -> Score:
    """The energy that the step leaves: all maps keep about the same."""
    return lambda now, name, below: -below.error


def by_bits(ladders: Mapping[str, Ladder]) -> Score:
    """ΔB alone."""
    return lambda now, name, below: now[name].bits - below.bits


METRICS: dict[str, Callable[[Mapping[str, Ladder]], Score]] = {
    "error": by_error,
    "uniform": by_ratio,
    "energy": by_energy,
    "bits": by_bits,
}
"""The metrics by the option's value."""
