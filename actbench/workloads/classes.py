"""Images of classes in folders, `<part>/<class>/`: what they are called, and what is wrong with them. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from actbench.errors import UserError
from actbench.workloads.tree import DataFile, files_below

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""What images are called, as in torchvision's ImageFolder."""


def class_names(folder: Path) -> list[str]:
    """Lists the names of the class folders, sorted; what is hidden is none. Raises UserError where there is none."""
    try:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror or error}") from error
    if not names:
        raise UserError(f"no images in {folder}: put them into folders of their classes, {folder}/<class>/")
    return names


def images_of(folder: Path) -> list[Path]:
    """Lists the images of a class, in the order of torchvision's ImageFolder. Raises UserError where there is none."""
    images = [Path(file.path) for file in files_below(folder) if is_image(file.name)]
    if not images:
        raise _without_images(folder)
    return sorted(images, key=lambda path: (str(path.parent), path.name))


def is_image(name: str) -> bool:
    """Whether a file is called as an image is, and is not hidden, as the `._0.png` are that macOS leaves behind."""
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not hidden and name.lower().endswith(SUFFIXES)


def check_classes(data: Path, files: Sequence[DataFile], parts: tuple[str, str], head: int | None = None) -> None:
    """Checks that both parts of a data folder have the same classes, no more of them than the network's `head` has
    outputs, and images of each. Raises UserError, with the folder that is wrong."""
    first, second = (class_names(data / part) for part in parts)
    _check_same(data, parts, set(first), set(second))
    if head is not None and len(first) > head:
        raise UserError(f"data folder {data} has {len(first)} classes, and the network has outputs for {head}")
    filled = {tuple(file.name.split("/")[:2]) for file in files if is_image(file.name)}
    for place in ((part, name) for part in parts for name in first):
        if place not in filled:
            raise _without_images(data.joinpath(*place))


def _check_same(data: Path, parts: tuple[str, str], first: set[str], second: set[str]) -> None:
    for part, other, alone in ((*parts, first - second), (*reversed(parts), second - first)):
        if alone:
            raise UserError(
                f"data folder {data} has {part}/{min(alone)} and no {other}/{min(alone)}: add or remove one"
            )


def _without_images(folder: Path) -> UserError:
    return UserError(f"no images in {folder}: add some ({', '.join(SUFFIXES)}), or remove the folder")
