"""Registration of the workloads that come with actbench."""

from __future__ import annotations

from collections.abc import Callable

from actbench.hookspecs import hookimpl
from actbench.info import WorkloadInfo

_EMBEDDED = (
    WorkloadInfo(
        name="shapes",
        title="Rendered objects, ten classes, 64×64; a small residual network (embedded)",
        target="actbench.workloads.shapes:Shapes",
        identify="actbench.workloads.identify:shapes",
        metric="top-1",
        unit="%",
        reference_point=10.0,
    ),
    WorkloadInfo(
        name="shapes-segmentation",
        title="Rendered objects, classes of pixels, 128×128; an encoder–decoder with skips (embedded)",
        target="actbench.workloads.shapes:ShapesSegmentation",
        identify="actbench.workloads.identify:shapes_segmentation",
        metric="mean-iou",
        unit="%",
        reference_point=7.3,  # ground everywhere
    ),
    WorkloadInfo(
        name="shapes-depth",
        title="Rendered objects, distances of pixels, 128×128; the same encoder–decoder (embedded)",
        target="actbench.workloads.shapes:ShapesDepth",
        identify="actbench.workloads.identify:shapes_depth",
        metric="abs-rel",
        reference_point=0.061,  # the ground's distance everywhere
        better="less",
    ),
    WorkloadInfo(
        name="photos-denoise",
        title="Photographs with noise of 25 levels, 64×64 in grey; a small residual network (embedded)",
        target="actbench.workloads.photos:PhotosDenoise",
        identify="actbench.workloads.identify:photos_denoise",
        metric="psnr",
        unit="dB",
        reference_point=20.3,  # what is given
    ),
    WorkloadInfo(
        name="photos-upscale",
        title="Photographs enlarged from 32×32 to 64×64 in grey; the same kind of network (embedded)",
        target="actbench.workloads.photos:PhotosUpscale",
        identify="actbench.workloads.identify:photos_upscale",
        metric="psnr",
        unit="dB",
        reference_point=31.7,  # each pixel repeated
    ),
)

_WITH_FILES = (
    WorkloadInfo(
        name="cifar10-resnet20",
        title="CIFAR-10, ResNet-20 (He et al. 2016, option A shortcuts)",
        target="actbench.workloads.cifar10:Cifar10ResNet20",
        identify="actbench.workloads.identify:cifar10",
        metric="top-1",
        unit="%",
        reference_point=10.0,
        requires=("weights",),
    ),
    WorkloadInfo(
        name="mobilenet-v2",
        title="MobileNetV2 (torchvision) on ImageNet, or on a folder of images with a checkpoint of its own",
        target="actbench.workloads.mobilenet:MobileNetV2",
        identify="actbench.workloads.identify:mobilenet",
        metric="top-1",
        unit="%",
        reference_point=0.1,
        requires=("data",),
    ),
)


@hookimpl
def register_workloads(register: Callable[[WorkloadInfo], None]) -> None:
    """Registers the embedded workloads, which need nothing, `cifar10-resnet20` and `mobilenet-v2`."""
    for info in (*_EMBEDDED, *_WITH_FILES):
        register(info)
