"""One cell of `quantize` on a street scene's size, 3×1024×2048: how long it takes, and what is resident at most.

`python benchmarks/large_images.py [IMAGES]`

The network is torchvision's LR-ASPP on MobileNetV3 (Howard et al. 2019, arXiv 1905.02244) with random weights, on
random images: what it says does not matter here. This file is a plugin as well, which brings the workload.
"""

import resource
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from actbench import WorkloadInfo, hookimpl
from actbench.budget import Bits, Ceiling
from actbench.harness.executors import CellResult, Listener
from actbench.harness.executors.local import Local
from actbench.harness.load import busy_line
from actbench.harness.messages import Preparation
from actbench.harness.schedule import RunRequest, cells_of
from actbench.registry import load_plugins
from actbench.workloads.base import ImageSet, Workload
from actbench.workloads.torchvision_import import torchvision

SIZE, CLASSES, IMAGES = (1024, 2048), 19, 4
NAME, HERE = "large-images", "actbench_plugin_large_images"


def identify(data: Path | None, weights: Path | None) -> dict[str, str]:
    return {"data": "random"}


@hookimpl
def register_workloads(register) -> None:
    title = "LR-ASPP on MobileNetV3, random weights, 3×1024×2048"
    register(WorkloadInfo(NAME, title, f"{HERE}:LargeImages", f"{HERE}:identify", "pixel accuracy", "%"))


class LargeImages(Workload):
    input_shape = (3, *SIZE)

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return _Segmentation()

    def calibration_set(self) -> ImageSet:
        return _images(1, IMAGES)

    def training_set(self) -> ImageSet:
        return _images(1, IMAGES)

    def evaluation_set(self) -> ImageSet:
        return _images(2, self.settings.limit or IMAGES)

    class metric:
        """The share of pixels whose class is right, in per cent."""

        @staticmethod
        def per_image(outputs: Tensor, targets: Tensor) -> Tensor:
            return (outputs.argmax(1) == targets).double().mean((1, 2))[:, None]

        @staticmethod
        def score(means: Tensor) -> Tensor:
            return 100 * means[..., 0]


class _Segmentation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        models = torchvision("torchvision.models.segmentation")
        self.network = models.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)["out"]


def _images(seed: int, count: int) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 32, 64, generator=generator)
    pixels = (255 * nn.functional.interpolate(coarse, SIZE, mode="bilinear")).byte()
    targets = torch.randint(CLASSES, (count, *SIZE), generator=generator)
    return ImageSet(pixels, targets, (0.5,) * 3, (0.25,) * 3)


class Watch:
    """Sums the seconds of each step of a run."""

    def __init__(self) -> None:
        self.result: CellResult | None = None
        self.seconds: dict[str, float] = {}
        self._step, self._since = "start", time.perf_counter()

    def step(self, step: str, done: int = 0, total: int = 0) -> None:
        now = time.perf_counter()
        self.seconds[self._step] = self.seconds.get(self._step, 0.0) + now - self._since
        self._step, self._since = step, now

    def ended(self, result: CellResult) -> None:
        self.step("end")
        self.result = result


def main(images: int) -> None:
    """Prints how the cell ended, the seconds of its steps, and the most that one process of the run held. The first
    step, `load`, is what all cells of a workload share: images, statistics, the reference's scores."""
    plugin = Path(__file__)
    request = RunRequest(NAME, ("quantize",), (Ceiling.parse("8x"),), (Bits.parse("w8a2-8"),), limit=images)
    cells = [cell for cell in cells_of(request, load_plugins([plugin])) if cell.method.name == "quantize"]
    preparation = Preparation(NAME, "cpu", limit=images, plugin_files=(plugin,))
    print(busy_line() or "the machine is free", flush=True)
    watch = Watch()
    Local().run(preparation, cells, Listener(lambda cell: None, watch.step, watch.ended), 3600)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{watch.result.status} {watch.result.reason}")
    print(", ".join(f"{step} {seconds:.0f} s" for step, seconds in watch.seconds.items()))
    seconds, processor = sum(watch.seconds.values()), used.ru_utime + used.ru_stime
    print(f"{seconds:.0f} s, {processor:.0f} s of processors, {used.ru_maxrss / (1 << 20):.2f} GiB resident at most")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
