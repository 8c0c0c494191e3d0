"""Recovery on a workload that is small enough to train in a moment."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actbench.errors import Unsupported
from actbench.network.splice import Spliced, splice
from actbench.network.trace import trace
from actbench.recovery import PROTOCOL_RECOVERY, RecoverySettings, recover
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


def spliced(workload: Stripes) -> Spliced:
    network = trace(workload.model(), workload.input_shape)
    (fmap,) = network.maps
    codec = ProChanCodec(fmap, torch.eye(8)[:3], torch.eye(8)[:, :3], None)
    compressed = splice(network, {fmap.name: codec})
    compressed.module.eval()
    return compressed


def loss(module: nn.Module, workload: Stripes) -> float:
    images = workload.training_set()
    with torch.no_grad():
        return float(F.cross_entropy(module(images.images(slice(None))), images.targets))


def trained(workload: Stripes, steps: int, seed: int = 0) -> Spliced:
    compressed = spliced(workload)
    recover(compressed.module, workload, steps, seed, CPU)
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
    recover(spliced(workload).module, workload, 4, 0, CPU, done.append)
    assert done == [1, 2, 3, 4]
    half = 0.5 * (1 + torch.cos(torch.pi * torch.arange(4) / 4))
    assert rates == pytest.approx((PROTOCOL_RECOVERY.learning_rate * half).tolist())


@pytest.mark.parametrize("steps", [1, 2, 20])
def test_divergence_is_unsupported_at_whatever_step(workload: Stripes, steps: int) -> None:
    settings = RecoverySettings(learning_rate=1e38, gradient_norm=1e38)
    with pytest.raises(Unsupported, match="recovery diverged"):
        recover(spliced(workload).module, workload, steps, 0, CPU, settings=settings)
