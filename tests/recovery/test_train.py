"""Recovery on a workload that is small enough to train in a moment."""

from math import prod

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actbench.codec import Payload, PlainCodec
from actbench.errors import Unsupported
from actbench.network import batches, nodes
from actbench.network.splice import Spliced, splice
from actbench.network.tap import Tap
from actbench.network.trace import TracedNetwork, trace
from actbench.recipe import PROTOCOL_RECIPE, Recipe
from actbench.recovery.train import recover
from actbench.workloads.base import ImageSet, Workload, WorkloadSettings
from actbench_plugins.prochan.codec import ProChanCodec

CPU = torch.device("cpu")


class Stripes(Workload):
    """Which half of the image is bright."""

    input_shape = (1, 8, 8)

    def model(self) -> nn.Module:
        torch.manual_seed(3)
        layers = [nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3)]
        return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 2))

    def training_set(self) -> ImageSet:
        generator = torch.Generator().manual_seed(5)
        pixels = torch.randint(0, 100, (96, 1, 8, 8), generator=generator, dtype=torch.uint8)
        targets = torch.arange(96) % 2
        pixels[targets == 0, :, :4] += 60
        pixels[targets == 1, :, 4:] += 60
        return ImageSet(pixels, targets, (0.25,), (0.15,))

    calibration_set = evaluation_set = training_set


@pytest.fixture
def workload() -> Stripes:
    return Stripes(WorkloadSettings())


def network(workload: Stripes) -> TracedNetwork:
    return trace(workload.model(), workload.input_shape)


def spliced(workload: Stripes) -> Spliced:
    original = network(workload)
    (fmap,) = original.maps
    codec = ProChanCodec(fmap, torch.eye(8)[:3], torch.eye(8)[:, :3], None)
    compressed = splice(original, {fmap.name: codec})
    compressed.module.eval()
    return compressed


def loss(module: nn.Module, workload: Stripes) -> float:
    images = workload.training_set()
    with torch.no_grad():
        return float(F.cross_entropy(module(images.images(slice(None))), images.targets))


def trained(workload: Stripes, steps: int, seed: int = 0, recipe: Recipe = PROTOCOL_RECIPE) -> Spliced:
    compressed = spliced(workload)
    recover(compressed, network(workload), workload, steps, seed, CPU, recipe=recipe)
    return compressed


def weights(compressed: Spliced) -> dict[str, Tensor]:
    return dict(compressed.module.named_parameters())


def test_a_few_steps_lower_the_loss_and_train_everything(workload: Stripes) -> None:
    before, after = spliced(workload), trained(workload, 40)
    assert loss(after.module, workload) < 0.8 * loss(before.module, workload)
    assert {name for name, value in weights(after).items() if torch.equal(value, weights(before)[name])} == set()


def test_the_seed_decides(workload: Stripes) -> None:
    first, again, other = (weights(trained(workload, 3, seed)) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_normalisations_keep_their_statistics(workload: Stripes) -> None:
    before, after = (
        dict(compressed.module.named_buffers()) for compressed in (spliced(workload), trained(workload, 3))
    )
    assert len(before) == 3
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_progress_and_the_schedule(workload: Stripes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cosine from the learning rate to zero: the last step hardly moves anything."""
    rates: list[float] = []
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self, closure=None: rates.append(self.param_groups[0]["lr"]))
    done: list[int] = []
    recover(spliced(workload), network(workload), workload, 4, 0, CPU, done.append)
    assert done == [1, 2, 3, 4]
    half = 0.5 * (1 + torch.cos(torch.pi * torch.arange(4) / 4))
    assert rates == pytest.approx((PROTOCOL_RECIPE.learning_rate * half).tolist())


def test_a_schedule_in_stages_falls_once_when_all_codecs_are_in(
    workload: Stripes, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self, closure=None: rates.append(self.param_groups[0]["lr"]))
    recover(spliced(workload), network(workload), workload, 6, 0, CPU, recipe=Recipe(schedule="stages"))
    assert rates == pytest.approx([0.01] * 4 + [0.001] * 2)


@pytest.mark.parametrize("steps", [1, 2, 20])
def test_divergence_is_unsupported_at_whatever_step(workload: Stripes, steps: int) -> None:
    recipe = Recipe(learning_rate=1e38, gradient_norm=1e38)
    with pytest.raises(Unsupported, match="training diverged"):
        recover(spliced(workload), network(workload), workload, steps, 0, CPU, recipe=recipe)


def test_codecs_alone(workload: Stripes) -> None:
    before, after = weights(spliced(workload)), weights(trained(workload, 3, recipe=Recipe(trained="codecs")))
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved == {name for name in after if "encode.codec" in name}
    assert all(value.requires_grad for value in after.values())


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(loss="distillation")], ids=lambda recipe: recipe.loss)
def test_steps_in_parts_are_the_same_steps(workload: Stripes, monkeypatch: pytest.MonkeyPatch, recipe: Recipe) -> None:
    """64 images, 3 at a time: gradients add up, and the last image counts as much as any other."""
    whole, sizes = spliced(workload), []
    losses = recover(whole, network(workload), workload, 6, 0, CPU, recipe=recipe)
    monkeypatch.setattr(batches, "_SAVED", 3 * sum(map(prod, _shapes(network(workload)))))
    parts = spliced(workload)
    parts.module.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    in_parts = recover(parts, network(workload), workload, 6, 0, CPU, recipe=recipe)
    assert sizes == 7 * [*21 * [3], 1]
    assert in_parts == pytest.approx(losses, rel=1e-4)
    torch.testing.assert_close(weights(parts), weights(whole), rtol=1e-3, atol=1e-5)


def _shapes(network: TracedNetwork) -> list[tuple[int, ...]]:
    return [nodes.shape(node)[1:] for node in network.module.graph.nodes if node.op != "output"]


def test_normalisations_that_adapt_are_back_in_evaluation(workload: Stripes) -> None:
    after = trained(workload, 3, recipe=Recipe(batch_statistics="adapting"))
    before = dict(spliced(workload).module.named_buffers())
    moved = [name for name, value in after.module.named_buffers() if not torch.equal(value, before[name])]
    assert len(moved) == 3
    assert not any(part.training for part in after.module.modules())


def test_the_layers_loss_is_the_error_of_the_decoded_map(workload: Stripes) -> None:
    compressed, original = spliced(workload), network(workload)
    (fmap,) = original.maps
    images = next(workload.training_set().shuffled(64, seed=0))[0]
    with torch.no_grad():
        before, after = Tap(original).sides(images)[fmap.name]
        expected = (compressed.codecs()[fmap.name](before) - after).square().sum() / after.square().sum()
    losses = recover(compressed, original, workload, 30, 0, CPU, recipe=Recipe(loss="layers"))
    assert losses[0] == pytest.approx(float(expected), rel=1e-5)
    assert losses[-1] < 0.9 * losses[0]
    assert not any(decoder._forward_hooks for decoder in compressed.decoders().values())


def test_distillation_adds_the_divergence(workload: Stripes) -> None:
    plain, distilled = (
        recover(spliced(workload), network(workload), workload, 1, 0, CPU, recipe=Recipe(loss=loss))[0]
        for loss in ("task", "distillation")
    )
    images = next(workload.training_set().shuffled(64, seed=0))[0]
    with torch.no_grad():
        student, teacher = (model(images).softmax(1) for model in (spliced(workload).module, network(workload).module))
    divergence = (teacher * (teacher / student).log()).sum(1).mean()
    assert distilled - plain == pytest.approx(float(divergence), rel=1e-3)


class Half(PlainCodec):
    """Decodes half of the map, and notes how far along it was told to be."""

    def __init__(self) -> None:
        super().__init__(None)
        self.told: list[float] = []

    def decode(self, payload: Payload) -> Tensor:
        return super().decode(payload) / 2

    def approach(self, progress: float) -> None:
        self.told.append(progress)


def two_maps(workload: Stripes) -> tuple[TracedNetwork, Spliced, list[Half]]:
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 4), nn.Flatten()]
    original = trace(nn.Sequential(*layers), workload.input_shape)
    codecs = [Half() for _ in original.maps]
    names = [fmap.name for fmap in original.maps]
    return original, splice(original, dict(zip(names, codecs, strict=True))), codecs


def test_a_codec_that_is_not_in_use_changes_nothing(workload: Stripes) -> None:
    original, compressed, _ = two_maps(workload)
    around = spliced(workload)
    images = workload.training_set().images(slice(0, 4))
    with torch.no_grad():
        assert not torch.equal(compressed.module(images), original.module(images))
        compressed.use([])
        assert torch.equal(compressed.module(images), original.module(images))
        around.use([])
        torch.testing.assert_close(around.module(images), network(workload).module(images))


def test_sequential_insertion_ends_with_all_codecs_in_use(workload: Stripes) -> None:
    original, compressed, _ = two_maps(workload)
    in_use: list[int] = []
    recover(
        compressed,
        original,
        workload,
        6,
        0,
        CPU,
        lambda step: in_use.append(sum(stage.in_use for stage in compressed.encoders().values())),
        Recipe(insertion="sequential"),
    )
    assert in_use == [1, 1, 2, 2, 2, 2]
    assert all(stage.in_use for stage in compressed.decoders().values())


def test_gradual_compression_is_complete_after_half_of_the_steps(workload: Stripes) -> None:
    original, compressed, codecs = two_maps(workload)
    recover(compressed, original, workload, 4, 0, CPU, recipe=Recipe(gradual=True))
    assert [codec.told for codec in codecs] == [[0.0, 0.0, 0.5, 1.0, 1.0, 1.0]] * 2


class Priced(Half):
    """Costs three times the square of a parameter of its own, which nothing else reads."""

    def __init__(self) -> None:
        super().__init__()
        self.size = nn.Parameter(torch.tensor(2.0))

    def price(self) -> Tensor:
        return 3 * self.size.square()


@pytest.mark.parametrize("at_once", [64, 3])
def test_prices_are_added_to_the_loss_once_a_step(
    workload: Stripes, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    original, without, _ = two_maps(workload)
    monkeypatch.setattr(batches, "_SAVED", at_once * sum(map(prod, _shapes(original))))
    codec = Priced()
    priced = splice(original, {original.maps[0].name: codec, original.maps[1].name: Half()})
    recipe = Recipe(gradient_norm=1e9)
    losses, plain = (recover(each, original, workload, 1, 0, CPU, recipe=recipe)[0] for each in (priced, without))
    assert losses - plain == pytest.approx(3 * 2.0**2, rel=1e-5)
    assert codec.size.item() == pytest.approx(2.0 - recipe.learning_rate * 3 * 2 * 2.0), "one step of its gradient"


class Squared(Half):
    """Half, which would have the map small."""

    def penalty(self, x: Tensor) -> Tensor:
        return x.square().sum((1, 2, 3)).mean()


def test_penalties_are_added_with_the_recipes_weight(workload: Stripes) -> None:
    """Of every map whose codec has one: here of the second alone."""
    original, _, _ = two_maps(workload)
    first, second = (fmap.name for fmap in original.maps)
    images = next(workload.training_set().shuffled(64, seed=0))[0]

    def size(compressed: Spliced) -> float:
        seen: list[Tensor] = []
        stage = compressed.encoders()[second]
        stage.observer = lambda x, payload: seen.append(x)
        with torch.no_grad():
            compressed.module(images)
        stage.observer = None
        return float(seen[0].square().sum() / 64)

    def trained(penalty: float) -> tuple[float, float]:
        compressed = splice(original, {first: Half(), second: Squared()})
        losses = recover(compressed, original, workload, 8, 0, CPU, recipe=Recipe(penalty=penalty))
        assert all(stage.observer is None for stage in compressed.encoders().values())
        return losses[0], size(compressed)

    (plain, left), (penalised, made_small) = trained(0.0), trained(0.5)
    before = size(splice(original, {first: Half(), second: Squared()}))
    assert penalised - plain == pytest.approx(0.5 * before, rel=1e-4)
    assert made_small < 0.5 * left
