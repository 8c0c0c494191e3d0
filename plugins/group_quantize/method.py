"""How many bits each saved map has: the least error in sum over all maps' groups, or the least bound that all hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from actbench import UserError
from actbench.codec import Budget, MapStatistics, Method, Network, Plan, Unsupported
from actbench_plugins.group_quantize.codec import GroupCodes, ends, grouped
from actbench_plugins.group_quantize.widths import LeastBound, LeastVariance, Rule

_IMAGES = 16
"""Images of the calibration sample among whose groups bits are given out."""

_WIDEST = 8


class Groups(Method):
    """Gives out widths to the groups of all maps together, on calibration images; each map keeps the bits that its
    groups got, and gives them out among the groups of every batch anew."""

    kind: ClassVar[type[Rule]]

    @override
    def plan_saving(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        rule = self.kind([width for width in budget.bits.widths if width <= _WIDEST])
        limit = self._limit(network, budget)
        if not rule.coded:
            raise Unsupported(
                f"codes have {_WIDEST} bits at most, and {budget.bits} asks for {min(budget.bits.widths)}"
            )
        samples = {fmap.name: stats[fmap.name].after.sample[:_IMAGES] for fmap in network.maps}
        images = min(map(len, samples.values()))
        errors = [self.relative(rule, sample[:images]) for sample in samples.values()]
        bits = rule.bits(torch.cat(errors), limit * images)
        if int(bits.sum()) > limit * images:
            needed = -(-int(bits.sum()) // images)
            raise Unsupported(f"groups without codes need {needed} bits an image; {limit} are allowed")
        shares = [int(part.sum()) // images for part in bits.split([len(part) for part in errors])]
        return Plan({f.name: GroupCodes(f, share, rule) for f, share in zip(network.maps, shares, strict=True)})

    @staticmethod
    def relative(rule: Rule, sample: Tensor) -> Tensor:
        """What a map's groups lose with each width, (groups, widths), relative to its values: their squares' sum for
        squared errors."""
        groups = grouped(sample)
        return rule.errors(groups, ends(groups)[1]) / groups.square().sum().clamp_min(1e-30)

    def _limit(self, network: Network, budget: Budget) -> int:
        """Bits that an image of all maps may take, all told."""
        average, limit = float(self.options["average"]), budget.ceiling.limit(network.maps)
        if average < 0:
            raise UserError(f"average={average}: give bits for each value, or 0 for what the ceiling allows")
        elements = sum(fmap.elements for fmap in network.maps)
        return min(limit, int(average * elements)) if average else limit


class GroupQuantization(Groups):
    """Gives bits where they save most of the variance of stochastic rounding, relative to each map's energy (ActNN and
    GACT weigh with gradients, which are not known while planning)."""

    kind = LeastVariance


class ErrorBound(Groups):
    """Has all groups hold one bound on the error, relative to the root of each map's mean square."""

    kind = LeastBound

    @staticmethod
    @override
    def relative(rule: Rule, sample: Tensor) -> Tensor:
        groups = grouped(sample)
        return rule.errors(groups, ends(groups)[1]) / groups.square().mean().sqrt().clamp_min(1e-30)
