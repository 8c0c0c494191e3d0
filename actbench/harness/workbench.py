"""What all cells of a workload share in a worker: the network, its statistics, reference scores and evaluation images.

Each is computed the first time that a cell needs it, and once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import cached_property
from typing import get_args

import torch
from torch import Tensor, nn

from actbench.errors import InvalidCodec
from actbench.feature_map import Maps
from actbench.harness.latest import Latest
from actbench.harness.network_view import PlanningNetwork
from actbench.info import WorkloadInfo
from actbench.measure.compute import Counts, count
from actbench.measure.memory import Peak, measure_peak
from actbench.measure.quality import paired_bootstrap
from actbench.network.batches import Batches
from actbench.network.calibration import Statistics
from actbench.network.conventions import live_peak
from actbench.network.deploy import deploy
from actbench.network.splice import Spliced, splice
from actbench.network.trace import TracedNetwork, trace
from actbench.recipe import PROTOCOL_RECIPE
from actbench.records.parts.quality import Quality
from actbench.workloads.base import CALIBRATION_IMAGES, Images, ImageSet, Workload


class MapsBench:
    """What cells share that compress the same maps: a convention's. `statistics`, and `transfer_statistics` on the
    training track: those of every feature map on the calibration images of a seed, the last one's kept."""

    def __init__(self, bench: Workbench, maps: Maps) -> None:
        self._bench = bench
        self._maps = maps
        self.statistics = Latest(self._statistics)
        self.transfer_statistics = Latest(self._transfer_statistics)

    @cached_property
    def network(self) -> TracedNetwork:
        """The traced fp32 network, with the maps of the convention."""
        workload = self._bench.workload
        return trace(workload.model().to(self._bench.device), workload.input_shape, self._maps)

    def _statistics(self, seed: int) -> Statistics:
        """Statistics of every feature map, on the calibration images of a seed that plans are made of."""
        return Statistics(self.network, self._bench.fitting(seed))

    def _transfer_statistics(self, seed: int) -> Statistics:
        """Statistics of every feature map, on the images of the training track on which codecs are fitted."""
        return Statistics(self.network, self._bench.transfer_fitting(seed))

    @cached_property
    def reference_live_peak(self) -> int:
        """Bits alive at once in the fp32 network."""
        return live_peak(self.network, {})


class Workbench:
    """One workload on one device. `maps`: what is shared by cells of each convention. `calibration`: the training
    images that plans may look at, by seed, the last one's kept."""

    def __init__(self, workload: Workload, info: WorkloadInfo, device: torch.device) -> None:
        self.workload = workload
        self.info = info
        self.device = device
        self.calibration = Latest(self._calibration)
        self.maps: dict[Maps, MapsBench] = {maps: MapsBench(self, maps) for maps in get_args(Maps)}
        self._handed_over: Callable[[], Images] | None = None
        self.trained_references: dict[Hashable, Tensor] = {}
        """Scores of the uncompressed network after training, by what is trained, steps and seed."""

    @property
    def network(self) -> TracedNetwork:
        """The traced fp32 network, for what is the same whichever maps are compressed."""
        return self.maps["live"].network

    @cached_property
    def batches(self) -> Batches:
        """How many images pass through the network at once."""
        return Batches.of(self.network)

    @cached_property
    def evaluation(self) -> Images:
        """The evaluation images. Who measures a cell apart hands them over once the cell is planned."""
        return self._handed_over() if self._handed_over else self.workload.evaluation_set()

    def _calibration(self, seed: int) -> ImageSet:
        """The workload's own choice for seed 0, and for others as many training images as the seed draws."""
        if seed == 0:
            return self.workload.calibration_set().loaded().permuted(seed)
        return self.workload.training_set().permuted(seed, CALIBRATION_IMAGES).loaded()

    def fitting(self, seed: int) -> ImageSet:
        """Of the calibration images of a seed those that plans are made of: three quarters."""
        return self.calibration(seed).select(slice(0, _fitted_on(self.calibration(seed))))

    def choice(self, seed: int) -> ImageSet:
        """Those that are held apart, for the choice between fits; none where there is but one."""
        return self.calibration(seed).select(slice(_fitted_on(self.calibration(seed)), None))

    def planning(self, network: TracedNetwork, calibration: int = 0) -> PlanningNetwork:
        """A copy of a network, as a method sees it while it plans on the calibration images of a seed: what the method
        does to it, it does to the copy."""
        loss, images = self.workload.loss, self.fitting(calibration)
        copied = replace(network, module=copy.deepcopy(network.module))
        return PlanningNetwork(copied, lambda outputs, targets: loss(outputs, targets), images, self.device)

    @cached_property
    def transfer_training(self) -> Images:
        """The training images of the training track."""
        return self.workload.transfer_sets()[0]

    @cached_property
    def training_batch(self) -> int:
        """Images in a step of the training track: two at least, as half of them tell how memory grows, and at most half
        of all, so that others are left to fit codecs on."""
        most = min(PROTOCOL_RECIPE.batch, self.batches.training, len(self.transfer_training) // 2)
        return max(2, most)

    def transfer_fitting(self, seed: int) -> ImageSet:
        """The training images of the training track on which codecs are fitted, as a seed draws them: none of those
        that are measured."""
        others = self._transfer_order.select(slice(0, max(1, len(self._transfer_order) - self.training_batch)))
        return others.permuted(seed, CALIBRATION_IMAGES).loaded()

    @cached_property
    def transfer_measured(self) -> ImageSet:
        """The batch of training images of the training track on which a step is measured."""
        return self._transfer_order.select(slice(-self.training_batch, None)).loaded()

    @cached_property
    def _transfer_order(self) -> Images:
        return self.transfer_training.permuted(seed=0)

    @cached_property
    def transfer_evaluation(self) -> Images:
        """The evaluation images of the training track, handed over as those of the inference track are."""
        return self._handed_over() if self._handed_over else self.workload.transfer_sets()[1]

    @cached_property
    def reference_scores(self) -> Tensor:
        """The metric's statistics of the fp32 network, (images, K) fp64."""
        return self.scores(self.network.module)

    @cached_property
    def reference(self) -> Spliced:
        """The fp32 network in its deployed form, without codecs: the baseline of latency, memory and compute."""
        return deploy(splice(self.network, {}), 32, self.example)

    @cached_property
    def reference_counts(self) -> Counts:
        """MACs and bit operations of the fp32 network."""
        return count(self.reference.module, self.example)

    @cached_property
    def reference_peak(self) -> Peak:
        """Memory of one image through the fp32 network."""
        return self.peak(self.reference, self.example)

    @cached_property
    def example(self) -> Tensor:
        """A calibration image, (1, C, H, W): for what does not depend on an image's values."""
        return self._calibration(0).images(slice(0, 1)).to(self.device)

    @cached_property
    def image(self) -> Tensor:
        """The first evaluation image, (1, C, H, W)."""
        return self.evaluation.images(slice(0, 1)).to(self.device)

    @cached_property
    def latency_images(self) -> Tensor:
        """Evaluation images (`batches.latency`, C, H, W), repeated where there are too few."""
        index = torch.arange(self.batches.latency) % len(self.evaluation)
        return self.evaluation.images(index).to(self.device)

    def hand_over(self, evaluation: Callable[[], Images]) -> None:
        """Has evaluation images come from elsewhere, for either track, when they are first asked for."""
        self._handed_over = evaluation

    def warm_up(self, maps: Maps, calibration: int | None) -> None:
        """Computes what inference cells of these maps and calibration images (None where there are no statistics to
        plan on) share, but for what needs evaluation images."""
        shared = self.maps[maps]
        if calibration is not None:
            for fmap in shared.network.maps[:1]:
                assert shared.statistics(calibration)[fmap.name]
        assert (self.reference_counts, self.reference_peak, shared.reference_live_peak) is not None

    def peak(self, spliced: Spliced, image: Tensor) -> Peak:
        """Peak memory while one image (1, C, H, W) passes through."""

        return measure_peak(_inference(spliced, image), self.device)

    def trained_reference(self, how: Hashable, train: Callable[[], Tensor]) -> Tensor:
        """Scores (images, K) of the uncompressed network trained in some way, computed once for each."""
        if how not in self.trained_references:
            self.trained_references[how] = train()
        return self.trained_references[how]

    def quality(self, scores: Tensor, reference: Tensor) -> Quality:
        """The record's part, from (images, K) statistics of a network and of the reference."""
        score, info = self.workload.metric.score, self.info
        quality = paired_bootstrap(scores, reference, score, metric=info.metric, unit=info.unit)
        return quality.model_copy(update={"reference_point": info.reference_point, "better": info.better})

    def scores(
        self,
        module: nn.Module,
        progress: Callable[[int, int], None] = lambda done, total: None,
        evaluation: Images | None = None,
    ) -> Tensor:
        """The metric's statistics (images, K) fp64 of every evaluation image, or of others. Raises InvalidCodec where
        an output is not finite."""
        evaluation = evaluation or self.evaluation
        # One tensor, made before: small ones between large ones that are freed keep their memory from the next batch.
        scores, done = torch.empty(0), 0
        with torch.no_grad():
            for images, targets in evaluation.batches(self.batches.evaluation):
                outputs = module(images.to(self.device)).float().cpu()
                if not torch.isfinite(outputs).all():
                    raise InvalidCodec("the network's output is not finite")
                some = self.workload.metric.per_image(outputs, targets).double()
                scores = scores if done else some.new_empty(len(evaluation), some.shape[1])
                scores[done : done + len(some)] = some
                done += len(some)
                progress(done, len(evaluation))
        return scores


def _inference(spliced: Spliced, images: Tensor) -> Callable[[], object]:
    """A pass of images (n, C, H, W) through a network, without gradients."""

    def run() -> object:
        with torch.no_grad():
            return spliced.module(images)

    return run


def _fitted_on(calibration: ImageSet) -> int:
    return -(-3 * len(calibration) // 4)
