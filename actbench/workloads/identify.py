"""Identification of workloads by digests of what they are made of. No torch: a run is planned with this."""

from __future__ import annotations

from pathlib import Path

from actbench.errors import UserError
from actbench.workloads.classes import check_classes
from actbench.workloads.files import file_digest, folder_digest
from actbench.workloads.tree import files_below

SHAPES_CHECKPOINT = Path(__file__).parent / "checkpoints" / "shapes.safetensors"
SHAPES_RENDERER = "1"
"""The version of `actbench.workloads.rendering`: a test holds the two together."""

CIFAR10_ARCHIVE = "md5:c58f30108f718f92721af3b95e74349a"
"""The archive that torchvision downloads."""

CIFAR10_CLASSES = 10

MOBILENET_WEIGHTS = "torchvision:MobileNet_V2_Weights.IMAGENET1K_V2"


def shapes(data: Path | None, weights: Path | None) -> dict[str, str]:
    """Identifies `shapes` by the renderer's version and the checkpoint's digest. Raises UserError for other data."""
    if data is not None:
        raise UserError("workload shapes draws its own images: leave --data out")
    return {"data": f"renderer:{SHAPES_RENDERER}", "weights": file_digest(weights or SHAPES_CHECKPOINT)}


def cifar10(data: Path | None, weights: Path | None) -> dict[str, str]:
    """Identifies `cifar10-resnet20` by the digests of images and checkpoint. Raises UserError where one is missing
    or the images are no folder of classes."""
    if weights is None:
        raise UserError("workload cifar10-resnet20 needs --weights FILE: a ResNet-20 checkpoint (safetensors or .pt)")
    return {"data": _cifar10_data(data), "weights": file_digest(weights)}


def mobilenet(data: Path | None, weights: Path | None) -> dict[str, str]:
    """Identifies `mobilenet-v2` by the digests of images and checkpoint. Raises UserError where the images are missing
    or no folder of classes."""
    if data is None:
        raise UserError("workload mobilenet-v2 needs --data DIR: a folder with train/<class>/ and val/<class>/")
    return {
        "data": _classes_digest(data, ("train", "val")),
        "weights": file_digest(weights) if weights is not None else MOBILENET_WEIGHTS,
    }


def _cifar10_data(data: Path | None) -> str:
    if data is None or (data / "cifar-10-batches-py").is_dir():
        return CIFAR10_ARCHIVE
    return _classes_digest(data, ("train", "test"), CIFAR10_CLASSES)


def _classes_digest(data: Path, parts: tuple[str, str], head: int | None = None) -> str:
    """The digest of a folder with images of classes in two parts, which are checked as far as names go."""
    if not data.is_dir():
        raise UserError(f"data folder {data} does not exist: give the folder that holds {'/ and '.join(parts)}/")
    for part in parts:
        if not (data / part).is_dir():
            raise UserError(f"data folder {data} has no {part}/<class>/: give a folder in ImageFolder layout")
    files = files_below(data)
    check_classes(data, files, parts, head)
    return f"sha256:{folder_digest(data, files)}"
