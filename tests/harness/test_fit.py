"""The help that every method gets: chosen on calibration images alone, recorded, and switched off."""

from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import Method, PlainCodec, Plan, UniformQuantizer
from actbench.codec.plain import RefittedPlainCodec
from actbench.harness.fit import fit
from actbench.harness.outcome import Progress
from actbench.harness.workbench import Workbench
from actbench.info import load_target
from actbench.network.splice import Spliced
from actbench.records.parts.fit import Fit
from actbench.registry import load_plugins
from actbench.settings import Inference
from actbench.spec import CellSpec, MethodSpec, WorkloadSpec
from actbench.workloads.base import ImageSet, Workload, WorkloadSettings

REGISTRY = load_plugins()
SIZE = (3, 12, 12)
CLOSED = Inference()


def unheard(step: str, done: int, total: int) -> None:
    """Hears of progress, and does nothing."""


class Toy(Workload):
    """A small network with random weights, and images of which those of the evaluation are not to be had."""

    input_shape = SIZE

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)]
        layers += [nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
        return nn.Sequential(*layers, nn.Conv2d(8, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()

    def calibration_set(self) -> ImageSet:
        small = torch.rand(40, 3, 5, 5, generator=torch.Generator().manual_seed(1))
        pixels = (255 * nn.functional.interpolate(small, SIZE[1:], mode="bilinear")).to(torch.uint8)
        return ImageSet(pixels, torch.arange(40) % 4, (0.5,) * 3, (0.2,) * 3)

    training_set = calibration_set

    def evaluation_set(self) -> ImageSet:
        raise AssertionError("evaluation images were asked for")


@pytest.fixture
def bench() -> Workbench:
    return Workbench(Toy(WorkloadSettings()), REGISTRY.workload("shapes"), torch.device("cpu"))


def fitted(
    bench: Workbench, name: str, settings: Inference = CLOSED, bits: str = "w8a2-8", progress: Progress = unheard
) -> tuple[Spliced, Fit | None]:
    info = REGISTRY.method(name)
    options = info.resolve({})
    budget = Budget(Ceiling.parse("8x"), Bits.parse(bits))
    cell = CellSpec(WorkloadSpec("toy", {}), MethodSpec(name, info.version, options), budget, settings)
    method = cast(Method, load_target(info.target)(options))
    shared = bench.maps[settings.maps]
    plan = method.plan(bench.planning(shared.network), shared.statistics(0), budget)
    return fit(bench, cell, settings, info, progress, plan)


def outputs(spliced: Spliced, x: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = spliced.module(x)
    return result


@pytest.mark.parametrize("name", ["quantize", "prochan", "projection", "greedy", "mixed-precision", "wcc", "zvc"])
def test_the_choice_is_made_without_an_evaluation_image(bench: Workbench, name: str) -> None:
    _, chosen = fitted(bench, name)
    assert chosen is not None
    assert chosen.trials[0].services == []
    assert (chosen.fitted_on, chosen.chosen_on) == (30, 10)
    assert min(trial.loss for trial in chosen.trials) <= chosen.trials[0].loss
    assert any("statistics" in trial.services for trial in chosen.trials)


def test_images_that_are_fitted_on_are_not_those_that_choose(bench: Workbench) -> None:
    fitting, choice = ({image.numpy().tobytes() for image in part(0).pixels} for part in (bench.fitting, bench.choice))
    assert len(fitting) == 30
    assert len(choice) == 10
    assert not fitting & choice


def test_off_is_the_bare_plan(bench: Workbench) -> None:
    spliced, chosen = fitted(bench, "projection", Inference(fit="off"))
    assert chosen is None
    quantizers = [part for part in spliced.module.modules() if isinstance(part, UniformQuantizer)]
    assert quantizers
    assert not any(quantizer.high.dim() for quantizer in quantizers)
    assert not any(isinstance(codec, RefittedPlainCodec) for codec in spliced.codecs().values())


def test_integers_have_one_clip(bench: Workbench) -> None:
    _, chosen = fitted(bench, "quantize", Inference(compute="int8"))
    assert chosen is not None
    assert not any("clips" in trial.services for trial in chosen.trials)


def test_coders_are_on_every_map_and_never_replaced(bench: Workbench) -> None:
    spliced, _ = fitted(bench, "zvc")
    assert not any(isinstance(codec, PlainCodec) for codec in spliced.codecs().values())


def test_never_leaves_every_map_to_the_method(bench: Workbench) -> None:
    spliced, _ = fitted(bench, "wcc", Inference(plain="never"))
    assert not any(isinstance(codec, PlainCodec) for codec in spliced.codecs().values())


def test_maps_without_a_codec_are_in_fp32(bench: Workbench) -> None:
    info = REGISTRY.method("wcc")
    cell = CellSpec(
        WorkloadSpec("toy", {}),
        MethodSpec("wcc", "1", {}),
        Budget(Ceiling.parse("8x"), Bits.parse("w32a32")),
    )
    spliced, _ = fit(bench, cell, Inference(fit="off"), info, unheard, Plan({}))
    assert {type(codec) for codec in spliced.codecs().values()} == {PlainCodec}
    assert all(codec.describe()["bits"] == 32 for codec in spliced.codecs().values())
    x = bench.fitting(0).images(slice(0, 4))
    with torch.no_grad():
        assert torch.equal(outputs(spliced, x), bench.network.module(x))


def test_one_calibration_image_leaves_no_choice() -> None:
    class Single(Toy):
        def calibration_set(self) -> ImageSet:
            return super().calibration_set().select(slice(0, 1))

    bench = Workbench(Single(WorkloadSettings()), REGISTRY.workload("shapes"), torch.device("cpu"))
    assert fitted(bench, "wcc")[1] is None


def test_the_choice_is_of_the_deployed_form(bench: Workbench) -> None:
    """With coarser weights the losses are others."""
    losses = []
    for bits in ("w8a4", "w2a4"):
        _, chosen = fitted(bench, "quantize", replace(CLOSED), bits)
        assert chosen is not None
        losses.append([trial.loss for trial in chosen.trials])
    assert losses[0] != losses[1]


def test_another_cell_may_have_its_turn_before_each_trial(bench: Workbench) -> None:
    heard: list[str] = []
    _, chosen = fitted(bench, "quantize", progress=lambda step, done, total: heard.append(step))
    assert chosen is not None
    assert len(chosen.trials) > 1
    assert heard == ["fit"] * (1 + len(chosen.trials))
