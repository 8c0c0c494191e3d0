"""Subject of the checks: a method, on a small network whose feature maps are awkward on purpose."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from actbench.budget import REFERENCE, Bits, Budget, Ceiling
from actbench.codec.codec import Codec
from actbench.codec.method import Method
from actbench.errors import Unsupported
from actbench.feature_map import FeatureMap
from actbench.harness.network_view import PlanningNetwork
from actbench.info import MethodInfo, OptionValue, load_target
from actbench.network.calibration import Statistics
from actbench.network.tap import Tap
from actbench.network.trace import TracedNetwork, trace
from actbench.recipe import PROTOCOL_RECIPE
from actbench.registry import Registry, load_plugins
from actbench.workloads.base import ImageSet, Workload, WorkloadSettings

SHAPE = (3, 17, 13)
_IMAGES, _CLASSES = PROTOCOL_RECIPE.batch, 4
_INFERENCE = ("4x w8a8", "4x w8a2-8", "8x w8a2-8", "16x w8a2-8", "traffic:8x w8a2-8", "live:8x w8a2-8")
_TRAINING = ("traffic:4x w32a2-8", "traffic:8x w32a2-8", "traffic:16x w32a2-8")


class SmallWorkload(Workload):
    """Workload with random weights; maps of 8×17×13, 12×9×7, 1×4×3 and 8×4×3, with ReLU, pooling and a skip."""

    input_shape = SHAPE

    @override
    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return _SmallNetwork().eval()

    @override
    def calibration_set(self) -> ImageSet:
        return images(seed=1)

    @override
    def training_set(self) -> ImageSet:
        return images(seed=1)

    @override
    def evaluation_set(self) -> ImageSet:
        return images(seed=2)


class _SmallNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1, stride=2), nn.ReLU(), nn.MaxPool2d(2))
        self.single = nn.Sequential(nn.Conv2d(12, 1, 1), nn.ReLU())
        self.wide = nn.Conv2d(1, 8, 3, padding=1)
        self.branch = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Computes (batch, 3, 17, 13) → (batch, 4)."""
        y = torch.relu(self.wide(self.single(self.second(self.first(x)))))
        return self.head((self.branch(y) + y).mean((2, 3)))  # type: ignore[no-any-return]


def images(seed: int) -> ImageSet:
    """Draws soft blobs with some noise: correlated as photographs are, and never twice the same."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(_IMAGES, 3, 5, 4, generator=generator)
    soft = nn.functional.interpolate(coarse, SHAPE[1:], mode="bilinear")
    pixels = (230 * soft + 25 * torch.rand(_IMAGES, *SHAPE, generator=generator)).byte()
    return ImageSet(pixels, torch.arange(_IMAGES) % _CLASSES, (0.5,) * 3, (0.25,) * 3)


@dataclass(frozen=True)
class Case:
    """One feature map, its codec, and the images `x` (n, C, H, W) that the codec gets to encode."""

    fmap: FeatureMap
    planned: Codec
    x: Tensor

    @property
    def codec(self) -> Codec:
        """Copy of the planned codec, which no check has used before."""
        return copy.deepcopy(self.planned)

    @property
    def name(self) -> str:
        """Description of the map for messages."""
        return f"map {self.fmap.name} ({self.fmap.channels}×{self.fmap.height}×{self.fmap.width})"


class Subject:
    """A method with its options. Plans are made for a few budgets, each once."""

    def __init__(
        self, method: str, options: Mapping[str, OptionValue] | None = None, plugin_files: Sequence[Path] = ()
    ) -> None:
        self.plugin_files = tuple(plugin_files)
        self.registry: Registry = load_plugins(self.plugin_files)
        self.info: MethodInfo = self.registry.method(method)
        self.options = self.info.resolve(options or {})
        self.workload = SmallWorkload(WorkloadSettings())
        self._plans: dict[Budget, Mapping[str, Codec] | Unsupported] = {}

    @property
    def saves(self) -> bool:
        """Whether the method's codecs are for what training saves, and for nothing else."""
        return "inference" not in self.info.tracks

    @property
    def budgets(self) -> list[Budget]:
        """All budgets that are tried, the widest first."""
        if self.info.role == "reference":
            return [REFERENCE]
        return [parse_budget(text) for text in (_TRAINING if self.saves else _INFERENCE)]

    @cached_property
    def network(self) -> TracedNetwork:
        """Traced network of the small workload."""
        return trace(self.workload.model(), SHAPE)

    @cached_property
    def pixels(self) -> Tensor:
        """Images (n, 3, 17, 13), which no plan has seen; for what training saves, a batch of its size."""
        return self.workload.evaluation_set().images(slice(0, None if self.saves else 8))

    def method(self) -> Method:
        """Makes the method anew."""
        return cast(Method, load_target(self.info.target)(self.options))

    def plan(self, budget: Budget, *, saving: bool | None = None) -> Mapping[str, Codec]:
        """Makes a new plan, as the harness makes it. Raises Unsupported where the method says so."""
        torch.manual_seed(0)
        calibration = self.workload.calibration_set()
        network = PlanningNetwork(self.network, self.workload.loss, calibration, torch.device("cpu"))
        statistics = Statistics(self.network, calibration.images(slice(None)))
        method = self.method()
        make = method.plan_saving if (self.saves if saving is None else saving) else method.plan
        return make(network, statistics, budget).codecs

    def planned(self, budget: Budget) -> Mapping[str, Codec]:
        """Gives the plan of a budget, made once. Raises Unsupported where the method says so."""
        if budget not in self._plans:
            try:
                self._plans[budget] = self.plan(budget)
            except Unsupported as error:
                self._plans[budget] = error
        plan = self._plans[budget]
        if isinstance(plan, Unsupported):
            raise plan
        return plan

    def supported(self) -> Iterator[tuple[Budget, Mapping[str, Codec]]]:
        """Yields the budgets with a plan, and the plans."""
        for budget in self.budgets:
            try:
                yield budget, self.planned(budget)
            except Unsupported:
                continue

    def cases(self, budget: Budget | None = None) -> list[Case]:
        """Makes a case of every map with a codec under a budget, by default under each that is supported."""
        chosen = self.supported() if budget is None else [(budget, self.planned(budget))]
        return [
            Case(fmap, codecs[fmap.name], self.sides[fmap.name][codecs[fmap.name].side == "after"])
            for _, codecs in chosen
            for fmap in self.network.maps
            if fmap.name in codecs
        ]

    @cached_property
    def sides(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Tensors of `pixels` before the nonlinearity and behind it, by the map's name."""
        with torch.no_grad():
            return Tap(self.network).sides(self.pixels)


def parse_budget(text: str) -> Budget:
    """Reads a ceiling and bits, as in `8x w8a2-8`."""
    ceiling, bits = text.split()
    return Budget(Ceiling.parse(ceiling), Bits.parse(bits))
