"""Small data and networks as a user has them, in a folder that he stands in."""

from collections.abc import Mapping
from pathlib import Path

import numpy
from PIL import Image

NETWORKS = """
from torch import nn


def classifier(classes=4):
    features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU())
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))


def dense(channels=3):
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, channels, 1)
    )


def depth():
    return nn.Sequential(dense(1), nn.Softplus())


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = dense()

    def forward(self, x):
        y = self.net(x)
        return {"out": y, "aux": y[:, :1]}


def number():
    return nn.Sequential(classifier(1))


def broken():
    raise ValueError("no such layer")


def text():
    return "a network"
"""


def write_networks(folder: Path) -> Path:
    """The file `nets.py`."""
    path = folder / "nets.py"
    path.write_text(NETWORKS)
    return path


def pixels(seed: int, size: tuple[int, int] = (16, 16)) -> numpy.ndarray:
    return numpy.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=numpy.uint8)


def write_classes(folder: Path, classes: int = 4, each: int = 3, size: tuple[int, int] = (16, 16)) -> Path:
    """Folders `train/<class>/` and `test/<class>/` of PNG files."""
    for part in ("train", "test"):
        for label in range(classes):
            place = folder / part / f"class-{label:03}"
            place.mkdir(parents=True)
            for number in range(each):
                Image.fromarray(pixels(100 * label + number, size)).save(place / f"{number}.png")
    return folder


def write_pairs(folder: Path, labels: Mapping[str, numpy.ndarray], suffix: str = ".png") -> Path:
    """Folders `<part>/images/` and `<part>/labels/`; each part has the same labels, by the image's name."""
    for part in ("train", "test"):
        for what in ("images", "labels"):
            (folder / part / what).mkdir(parents=True)
        for seed, (name, label) in enumerate(labels.items()):
            Image.fromarray(pixels(seed, label.shape[:2])).save(folder / part / "images" / f"{name}.png")
            place = folder / part / "labels" / f"{name}{suffix}"
            if suffix == ".npy":
                numpy.save(place, label)
            else:
                Image.fromarray(label).save(place)
    return folder
