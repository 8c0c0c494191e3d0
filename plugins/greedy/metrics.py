"""Which step of the greedy descent is worth most: the method's metrics, and three for ablation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from actbench_plugins.greedy.allocation import Ladder, Rung, Score

_EPSILON, _LOSS_EPSILON = 1e-9, 1e-3
"""What a step without any error is taken to cost; in the loss of a few images, less than ε is noise."""


def by_error(ladders: Mapping[str, Ladder]) -> Score:
    """`ΔB / (max(0, ΔA) + ε)`, `A = −log(1 − e)`, e the predicted error."""

    def score(now: Mapping[str, Rung], name: str, below: Rung) -> float:
        more = below.lost - now[name].lost
        return (now[name].bits - below.bits) / (max(0.0, more) + _EPSILON)

    return score


def by_loss(loss: Callable[[Mapping[str, Rung]], float]) -> Score:
    """`ΔB / (max(0, ΔA) + ε)`, A the task's loss with these settings in place: each score is a forward pass."""
    known: dict[tuple[tuple[str, Rung], ...], float] = {}

    def remembered(rungs: Mapping[str, Rung]) -> float:
        key = tuple(rungs.items())
        if key not in known:
            known[key] = loss(rungs)
        return known[key]

    def score(now: Mapping[str, Rung], name: str, below: Rung) -> float:
        difference = remembered({**now, name: below}) - remembered(now)
        return (now[name].bits - below.bits) / (max(0.0, difference) + _LOSS_EPSILON)

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
"""The metrics that need no forward pass, by the option's value."""
