"""Which step of the greedy descent is worth most: the method's metrics, and three for ablation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from actbench_plugins.greedy.allocation import Score, Setting, Settings

_EPSILON, _LOSS_EPSILON = 1e-9, 1e-3
"""What a step without any error is taken to cost; in the loss of a few images, less than ε is noise."""


def by_error(settings: Mapping[str, Settings]) -> Score:
    """Scores a step by `ΔB / (max(0, ΔA) + ε)`, `A = −log(1 − e)`, e the predicted error."""

    def score(chosen: Mapping[str, Setting], name: str, lower: Setting) -> float:
        added_loss = lower.lost - chosen[name].lost
        return (chosen[name].bits - lower.bits) / (max(0.0, added_loss) + _EPSILON)

    return score


def by_loss(loss: Callable[[Mapping[str, Setting]], float]) -> Score:
    """Scores a step by `ΔB / (max(0, ΔA) + ε)`, A the task's loss with these settings in place: each score is a forward
    pass."""
    known: dict[tuple[tuple[str, Setting], ...], float] = {}

    def remembered(chosen: Mapping[str, Setting]) -> float:
        key = tuple(chosen.items())
        if key not in known:
            known[key] = loss(chosen)
        return known[key]

    def score(chosen: Mapping[str, Setting], name: str, lower: Setting) -> float:
        added_loss = remembered({**chosen, name: lower}) - remembered(chosen)
        return (chosen[name].bits - lower.bits) / (max(0.0, added_loss) + _LOSS_EPSILON)

    return score


def by_ratio(settings: Mapping[str, Settings]) -> Score:
    """Scores a step by what is left of the map's bits: the map that has been reduced least is next, so that all ratios
    stay alike."""
    return lambda chosen, name, lower: chosen[name].bits / settings[name][0].bits


def by_energy(settings: Mapping[str, Settings]) -> Score:
    """Scores a step by the energy that it leaves: all maps keep about the same."""
    return lambda chosen, name, lower: -lower.error


def by_bits(settings: Mapping[str, Settings]) -> Score:
    """Scores a step by ΔB alone."""
    return lambda chosen, name, lower: chosen[name].bits - lower.bits


METRICS: dict[str, Callable[[Mapping[str, Settings]], Score]] = {
    "error": by_error,
    "uniform": by_ratio,
    "energy": by_energy,
    "bits": by_bits,
}
"""The metrics that need no forward pass, by the option's value."""
