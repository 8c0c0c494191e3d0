"""Identification of workloads by digests of what they are made of. No torch: a run is planned with this."""

from __future__ import annotations

from pathlib import Path

from actbench.errors import UserError
from actbench.workloads.files import file_digest, folder_digest, listing_digest

SHAPES_CHECKPOINT = Path(__file__).parent / "checkpoints" / "shapes.safetensors"
SHAPES_RENDERER = "1"
"""The version of `actbench.workloads.rendering`: a test holds the two together."""

CIFAR10_ARCHIVE = "md5:c58f30108f718f92721af3b95e74349a"
"""The archive that torchvision downloads."""

MOBILENET_WEIGHTS = "torchvision:MobileNet_V2_Weights.IMAGENET1K_V2"


def shapes(data: Path | None, weights: Path | None) -> dict[str, str]:
    """Identifies `shapes` by the renderer's version and the checkpoint's digest. Raises UserError for other data."""
    if data is not None:
        raise UserError("workload shapes draws its own images: leave --data out")
    return {"data": f"renderer:{SHAPES_RENDERER}", "weights": file_digest(weights or SHAPES_CHECKPOINT)}


def cifar10(data: Path | None, weights: Path | None) -> dict[str, str]:
    """Identifies `cifar10-resnet20` by the digests of images and checkpoint. Raises UserError where one is missing."""
    if weights is None:
        raise UserError("workload cifar10-resnet20 needs --weights FILE: a ResNet-20 checkpoint (safetensors or .pt)")
    return {"data": _cifar10_data(data), "weights": file_digest(weights)}


def mobilenet(data: Path | None, weights: Path | None) -> dict[str, str]:
    """Identifies `mobilenet-v2` by the images' names and sizes, as ImageNet is large, and the checkpoint's digest.
    Raises UserError where the images are missing."""
    if data is None:
        raise UserError("workload mobilenet-v2 needs --data DIR: a folder with train/<class>/ and val/<class>/")
    _check_parts(data, "train", "val")
    return {
        "data": f"listing:{listing_digest(data)}",
        "weights": file_digest(weights) if weights is not None else MOBILENET_WEIGHTS,
    }


def _cifar10_data(data: Path | None) -> str:
    if data is None or (data / "cifar-10-batches-py").is_dir():
        return CIFAR10_ARCHIVE
    _check_parts(data, "train", "test")
    return f"sha256:{folder_digest(data)}"


def _check_parts(data: Path, *parts: str) -> None:
    if not data.is_dir():
        raise UserError(f"data folder {data} does not exist: give the folder that holds {'/ and '.join(parts)}/")
    for part in parts:
        if not (data / part).is_dir():
            raise UserError(f"data folder {data} has no {part}/<class>/: give a folder in ImageFolder layout")
