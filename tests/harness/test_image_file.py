"""Evaluation images in files: read from where they are, in memory that does not grow with how many there are."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from actbench.errors import UserError
from actbench.harness.isolation import image_file
from actbench.harness.isolation.image_file import disk_file, read_images, write_images
from actbench.harness.isolation.tensors import memory_file
from actbench.workloads.images import ImageSet, StreamedImages


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ACTBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def images(targets: Tensor, *, floating: bool = False) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (len(targets), 3, 5, 7), generator=generator).byte()
    return ImageSet(pixels / 255 if floating else pixels, targets, (0.5, 0.25, 0.125), (1.0, 2.0, 3.0))


TARGETS = {
    "classes": torch.arange(9) % 4,
    "masks": torch.arange(9 * 35).reshape(9, 5, 7).byte(),
    "wide masks": torch.arange(9 * 35).reshape(9, 5, 7).int(),
    "numbers": torch.arange(18.0).reshape(9, 2),
}


@pytest.mark.parametrize("most", [0, 1 << 30], ids=["from the file", "in memory"])
@pytest.mark.parametrize("floating", [False, True])
@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_what_is_written_is_read(
    targets: Tensor, floating: bool, most: int, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setattr(image_file, "IN_MEMORY", most)
    monkeypatch.setattr(image_file, "_AT_ONCE", 300)
    expected = images(targets, floating=floating)
    for descriptor in (disk_file("images"), memory_file("images")):
        write_images(descriptor, expected)
        found = read_images(descriptor)
        assert isinstance(found, StreamedImages if most == 0 else ImageSet)
        for ours, theirs in zip(found.batches(4), expected.batches(4), strict=True):
            assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
        order = torch.tensor([7, 1, 1])
        assert torch.equal(found.negative().images(order), expected.negative().images(order))
        assert torch.equal(found.permuted(3, 2).loaded().targets, expected.permuted(3, 2).targets)
        os.close(descriptor)
    assert list(cache.iterdir()) == [], "the file has no name"


class Growing:
    """A source whose images get larger."""

    def __len__(self) -> int:
        return 4

    def read(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        size = 4 + max(numbers)
        return torch.zeros(len(numbers), 1, size, size).byte(), torch.zeros(len(numbers))


def test_images_of_another_form_than_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_file, "_AT_ONCE", 1)
    with pytest.raises(UserError, match="images from number 1 on have pixels of another form"):
        write_images(memory_file("images"), StreamedImages.of(Growing(), (0.0,), (1.0,)))


PROGRAM = """
import resource, sys
import torch
from actbench.harness.isolation import image_file
from actbench.workloads.images import StreamedImages

class Pictures:
    def __len__(self):
        return int(sys.argv[1])
    def read(self, numbers):
        return torch.full((len(numbers), 3, 256, 256), 7).byte(), torch.zeros(len(numbers), dtype=torch.long)

image_file.IN_MEMORY = 0
image_file._AT_ONCE = 1 << 23
file = image_file.disk_file("images")
image_file.write_images(file, StreamedImages.of(Pictures(), (0.5,) * 3, (0.5,) * 3))
count = sum(len(batch) for batch, _ in image_file.read_images(file).batches(8))
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_memory(program: str, count: int) -> int:
    """The most KiB that a program holds, which is given a number of images and has to see them all."""
    done = subprocess.run(
        [sys.executable, "-c", program, str(count)], capture_output=True, text=True, check=True, timeout=120
    )
    seen, kibibytes = map(int, done.stdout.split())
    assert seen == count
    return kibibytes


def test_memory_does_not_grow_with_images() -> None:
    """64 and 640 images of 192 KiB: 12 and 120 MiB."""
    assert peak_memory(PROGRAM, 640) - peak_memory(PROGRAM, 64) < 40_000


EVALUATION = """
import resource, sys
import torch
from torch import nn
from actbench.codec import PlainCodec, UniformQuantizer
from actbench.harness.workbench import Workbench
from actbench.info import WorkloadInfo
from actbench.measure.footprint import Meter
from actbench.network.splice import splice
from actbench.workloads.base import Workload, WorkloadSettings
from actbench.workloads.images import StreamedImages

class Pictures:
    def __len__(self):
        return int(sys.argv[1])
    def read(self, numbers):
        return torch.full((len(numbers), 3, 96, 96), 7).byte(), torch.zeros(len(numbers), dtype=torch.long)

class Many(Workload):
    input_shape = (3, 96, 96)
    def model(self):
        layers = (nn.Conv2d(a, b, 3, 2, 1) for a, b in ((3, 8), (8, 16), (16, 16)))
        steps = (step for layer in layers for step in (layer, nn.ReLU()))
        return nn.Sequential(*steps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    def evaluation_set(self):
        return StreamedImages.of(Pictures(), (0.5,) * 3, (0.5,) * 3)
    calibration_set = training_set = evaluation_set

torch.set_num_threads(1)
bench = Workbench(Many(WorkloadSettings()), WorkloadInfo("many", "many", "a:b", "a:b", "top-1"), torch.device("cpu"))
codecs = {fmap.name: PlainCodec(UniformQuantizer(8, 0, 1, nonnegative=True)) for fmap in bench.network.maps}
spliced = splice(bench.network, codecs)
with Meter(spliced) as meter:
    scores = bench.scores(spliced.module)
print(len(scores), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_what_is_kept_of_each_image_costs_no_more_than_it_is() -> None:
    """400 and 2,000 images, of which 211 MiB pass through in fp32."""
    assert peak_memory(EVALUATION, 2000) - peak_memory(EVALUATION, 400) < 40_000
