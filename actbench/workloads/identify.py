"""Identification of workloads by digests of what they are made of. No torch: a run is planned with this."""

from __future__ import annotations

from pathlib import Path

from actbench.errors import UserError
from actbench.workloads.classes import check_classes
from actbench.workloads.files import file_digest, folder_digest
from actbench.workloads.tree import files_below

RENDERED = "renderer:1"
PHOTOGRAPHED = "photographs:1"
"""The versions of `actbench.workloads.rendering` and of `actbench.workloads.photographs`: tests hold them together."""

CIFAR10_ARCHIVE = "md5:c58f30108f718f92721af3b95e74349a"
"""The archive that torchvision downloads."""

CIFAR10_CLASSES = 10

MOBILENET_WEIGHTS = "torchvision:MobileNet_V2_Weights.IMAGENET1K_V2"


def checkpoint(name: str) -> Path:
    """The checkpoint of an embedded workload, as it comes with actbench."""
    return Path(__file__).parent / "checkpoints" / f"{name}.safetensors"


def shapes(data: Path | None, weights: Path | None) -> dict[str, str]:
    """Identifies `shapes` by the renderer's version and the checkpoint's digest. Raises UserError for other data."""
    return _embedded("shapes", RENDERED, data, weights)


def shapes_segmentation(data: Path | None, weights: Path | None) -> dict[str, str]:
    """Identifies `shapes-segmentation` as `shapes` is identified. Raises UserError for other data."""
    return _embedded("shapes-segmentation", RENDERED, data, weights)


def shapes_depth(data: Path | None, weights: Path | None) -> dict[str, str]:
    """Identifies `shapes-depth` as `shapes` is identified. Raises UserError for other data."""
    return _embedded("shapes-depth", RENDERED, data, weights)


def photos_denoise(data: Path | None, weights: Path | None) -> dict[str, str]:
    """Identifies `photos-denoise` by the version of its squares and the checkpoint's digest. Raises UserError for other
    data."""
    return _embedded("photos-denoise", PHOTOGRAPHED, data, weights)


def photos_upscale(data: Path | None, weights: Path | None) -> dict[str, str]:
    """Identifies `photos-upscale` as `photos-denoise` is identified. Raises UserError for other data."""
    return _embedded("photos-upscale", PHOTOGRAPHED, data, weights)


def _embedded(name: str, version: str, data: Path | None, weights: Path | None) -> dict[str, str]:
    if data is not None:
        raise UserError(f"workload {name} brings its own images: leave --data out")
    return {"data": version, "weights": file_digest(weights or checkpoint(name))}


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
