"""How many images pass through a network at once: as many as its tensors let be, whatever memory is free, so that what
is measured is the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from actbench.network import nodes
from actbench.network.trace import TracedNetwork

_CACHED, _LARGEST, _LARGEST_TIMED, _SAVED, _TRIED = 1 << 21, 1 << 25, 1 << 26, 1 << 31, 1 << 33
"""Values of a batch's largest tensor that stay in a processor's caches; that it may have, and in a batch that is timed;
that all tensors of a step of training may have together, which back-propagation keeps; and those of all images on which
a plan is tried out."""

_LEAST = 8
"""Images that go through the network together, out of caches too where memory lets them be: fewer keep no GPU busy."""


@dataclass(frozen=True)
class Batches:
    """Numbers of images, one at least: where that one does not fit into memory, nothing does.

    `evaluation`, `calibration`: in a batch without gradients. `fitted`: on which normalisations are estimated, all at
    once. `latency`: in a batch that is timed. `checked`: those whose payloads are packed and decoded apart, not more
    than are ever encoded together. `training`: the most that go through forward and backward together. `tried`:
    calibration images on which a plan is tried out.
    """

    evaluation: int
    fitted: int
    calibration: int
    latency: int
    checked: int
    training: int
    tried: int

    @classmethod
    def of(cls, network: TracedNetwork) -> Batches:
        """Chooses them by the sizes of everything that a network computes."""
        computed = [node for node in network.module.graph.nodes if node.op not in ("output", "get_attr")]
        # All of a tensor is one image's, also where windows or heads stand in the place of the batch.
        sizes = [prod(shape) for node in computed for shape in nodes.shapes(node)]
        largest, together = max(sizes), sum(sizes)
        evaluation = min(max(_LEAST, _within(250, _CACHED, largest)), _within(250, _LARGEST, largest))
        return cls(
            evaluation=evaluation,
            fitted=_within(128, _LARGEST, largest),
            calibration=_within(64, _LARGEST, largest),
            latency=_within(16, _LARGEST_TIMED, largest),
            checked=min(4, evaluation),
            training=max(1, _SAVED // together),
            tried=_within(128, _TRIED, together),
        )


def _within(most: int, values: int, each: int) -> int:
    return max(1, min(most, values // each))
