"""The services that every method's plan may have, and the choice between them on images held apart."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from actbench.codec.codec import Codec
from actbench.codec.method import Plan
from actbench.codec.plain import PlainCodec
from actbench.codec.protocols import Clipped
from actbench.codec.statistics import MapStatistics
from actbench.feature_map import FeatureMap
from actbench.fitting.normalisation import estimate_statistics, has_statistics
from actbench.fitting.plain_maps import PlainMaps, decode_as_read
from actbench.fitting.refit import is_refitted, refitted
from actbench.fitting.sequence import CompressingRun
from actbench.network.splice import Spliced, splice
from actbench.network.trace import TracedNetwork

Service = Literal["sequence", "refit", "clips", "statistics"]
"""`sequence`: each map's codec is fitted on what compressed maps before it leave. `refit`: linear decoders are least
squares towards the fp32 map. `clips`: each stored channel has its own. `statistics`: batch normalisation is estimated
again behind compressed maps."""

Services = frozenset[Service]

_SEQUENCE_IMAGES = 64
"""The most images on which codecs are fitted in sequence."""


@dataclass(frozen=True)
class Fitted:
    """The network with what was kept in place, and what was tried: the task's loss on images held apart, by the
    services, where it is a number."""

    spliced: Spliced
    kept: Services
    losses: Mapping[Services, float]


@dataclass(frozen=True)
class Fitting:
    """What a plan is fitted with: the fp32 network, the rule for plain maps, and of the calibration images that plans
    are made of, statistics and `images` (n, C, H, W). `clips`: whether channels may have clips of their own."""

    network: TracedNetwork
    plain: PlainMaps
    stats: Mapping[str, MapStatistics]
    images: Tensor
    clips: bool = True

    def bare(self, plan: Plan) -> dict[str, Codec]:
        """The codecs of a plan, plain maps by the rule, and nothing else."""
        return self.plain.apply(plan.codecs, self.stats)

    def fitted(self, plan: Plan, loss: Callable[[Spliced], float] | None) -> Fitted:
        """The plan with what is chosen of the services, or without a loss the bare plan; maps that it leaves out are
        stored in fp32."""
        others: dict[str, Codec] = {fmap.name: PlainCodec(None) for fmap in self.network.maps}
        plan = replace(plan, codecs=others | dict(plan.codecs))
        if loss is None:
            return Fitted(splice(self.network, self.bare(plan)), frozenset(), {})
        return self.choose(plan, loss)

    def choose(self, plan: Plan, loss: Callable[[Spliced], float]) -> Fitted:
        """Tries the services, in the combinations that apply to the plan, and keeps those with the least loss: the bare
        plan where no loss is a number."""
        trials = self.trials(plan)
        kept, best = next(trials)
        losses = {kept: loss(best)}
        for services, spliced in trials:
            losses[services] = each = loss(spliced)
            if math.isfinite(each) and not each >= losses[kept]:
                kept, best = services, spliced
        finite = {services: each for services, each in losses.items() if math.isfinite(each)}
        return Fitted(best, kept, finite)

    def trials(self, plan: Plan) -> Iterator[tuple[Services, Spliced]]:
        """The network with the plan's codecs in each combination, the bare one first. Either decoders take up what
        compressed maps do to the network, or normalisations: not both."""
        for services, codecs in self._codecs(plan):
            spliced = splice(self.network, codecs)
            yield services, spliced
            if "refit" not in services and has_statistics(self.network.module):
                estimated = copy.deepcopy(spliced)
                estimate_statistics(estimated.module, self.images)
                yield services | {"statistics"}, estimated

    def _codecs(self, plan: Plan) -> Iterator[tuple[Services, dict[str, Codec]]]:
        bare = self.bare(plan)
        yield frozenset(), bare
        clipped = self.clips and any(isinstance(codec, Clipped) for codec in bare.values())
        if clipped:
            yield frozenset({"clips"}), self._with_clips(bare)
        if any(is_refitted(fmap, bare[fmap.name]) for fmap in self.network.maps if fmap.name in bare):
            yield frozenset({"sequence", "refit"}), self._in_sequence(bare, clips=False)
            if clipped:
                yield frozenset({"sequence", "refit", "clips"}), self._in_sequence(bare, clips=True)

    def _with_clips(self, bare: Mapping[str, Codec]) -> dict[str, Codec]:
        clipped = copy.deepcopy(dict(bare))
        for name, codec in clipped.items():
            _clip_channels(codec, self.stats[name].before.sample, self.stats[name].after.sample)
        return clipped

    @torch.no_grad()
    def _in_sequence(self, bare: Mapping[str, Codec], *, clips: bool) -> dict[str, Codec]:
        """Codecs that are fitted one after the other while images pass through the network."""
        codecs: dict[str, Codec] = {}

        def compress(fmap: FeatureMap, before: Tensor, after: Tensor) -> Tensor:
            if fmap.name not in bare:
                return after
            sides, codec = (before.cpu(), after.cpu()), copy.deepcopy(bare[fmap.name])
            if clips:
                _clip_channels(codec, *sides)
            codecs[fmap.name] = codec = refitted(fmap, codec, *sides, self.stats[fmap.name])
            return decode_as_read(fmap, codec, *sides).to(after.device)

        CompressingRun(self.network, compress).run(self.images[: self._images_in_sequence()])
        return codecs

    def _images_in_sequence(self) -> int:
        """As many as the statistics have samples of, within bounds."""
        first = self.stats[self.network.maps[0].name]
        return min(_SEQUENCE_IMAGES, len(first.after.sample))


@torch.no_grad()
def _clip_channels(codec: Codec, before: Tensor, after: Tensor) -> None:
    if isinstance(codec, Clipped):
        codec.clip_channels(after if codec.side == "after" else before)
