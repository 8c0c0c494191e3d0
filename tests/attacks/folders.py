"""Folders of images with links, pipes, bombs and strange names: refused by name, or read as if that were not there."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image, PngImagePlugin

from actbench.errors import UserError
from actbench.text import visible
from actbench.workloads.base import ImageSet
from actbench.workloads.folder import read_folder
from actbench.workloads.identify import cifar10
from actbench.workloads.torchvision_import import torchvision
from tests.attacks.attempt import Kind, one_by_one
from tests.workloads.test_wrong_data import DAMAGE, bomb, picture

torchvision("torchvision.transforms.functional")  # once, and not in each of the forked processes

Change = Callable[[Path], object]
"""Does something to a data folder."""


def image(change: Change) -> Change:
    return lambda data: change(data / "train" / "dog" / "1.png")


def beside(name: str, change: Change) -> Change:
    """Puts something beside the images of a class."""

    def act(data: Path) -> None:
        path = data / "train" / "cat" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        change(path)

    return act


def plugged(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def in_mode(mode: str, kind: str, **more: int) -> Change:
    def act(path: Path) -> None:
        Image.new(mode, (32, 32), **more).save(path, kind)

    return act


def large_text(path: Path) -> None:
    """A PNG with a text of 64 mebibytes in 64 kibibytes."""
    text = PngImagePlugin.PngInfo()
    text.add_text("note", "x" * (1 << 26), zip=True)
    Image.new("RGB", (32, 32)).save(path, pnginfo=text)


def links_to_each_other(data: Path) -> None:
    (data / "train" / "cat" / "a").symlink_to("b")
    (data / "train" / "cat" / "b").symlink_to("a")


def many_links(data: Path) -> None:
    """Ten folders that each lead to the next by two ways."""
    for number in range(24):
        folder = data.parent / f"level {number}"
        folder.mkdir()
        for way in "ab":
            (folder / way).symlink_to(data.parent / f"level {number + 1}")
    (data.parent / "level 24").mkdir()
    (data / "train" / "cat" / "deep").symlink_to(data.parent / "level 17")


def deep(data: Path) -> None:
    folder = data / "train" / "cat"
    for _ in range(300):
        folder = folder / "deep"
    folder.mkdir(parents=True)


def emptied(data: Path) -> None:
    for path in (data / "test" / "dog").iterdir():
        path.unlink()


def renamed(part: str, name: str, to: str) -> Change:
    return lambda data: (data / part / name).rename(data / part / to)


STRANGE = os.fsdecode(b"\xff\x1b]0;x\x07.png")

REFUSED: dict[str, Change] = {
    **{f"an image: {name}": image(change) for name, change in DAMAGE.items()},
    "an image: a text of 64 MiB": image(large_text),
    "an image: SVG": image(lambda path: path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")),
    "an image: PDF": image(lambda path: path.write_bytes(b"%PDF-1.4\n")),
    "an image: ICO": image(in_mode("RGB", "ICO")),
    "an image: zeros": image(lambda path: path.write_bytes(bytes(1 << 16))),
    "an image: a bomb of a strange name": beside(STRANGE, lambda path: bomb(path, 60_000)),
    "a pipe": beside("3.png", os.mkfifo),
    "a pipe that is hidden": beside(".3.png", os.mkfifo),
    "a pipe of a strange name": beside(STRANGE, os.mkfifo),
    "a socket": beside("3.png", plugged),
    "a device": beside("3.png", lambda path: path.symlink_to("/dev/zero")),
    "a link to nothing": beside("3.png", lambda path: path.symlink_to("nowhere.png")),
    "a link to itself": beside("3.png", lambda path: path.symlink_to("3.png")),
    "a link to its folder": beside("loop", lambda path: path.symlink_to(".")),
    "a link to all": beside("loop", lambda path: path.symlink_to("../../..")),
    "a link to the system": beside("loop", lambda path: path.symlink_to("/proc/self")),
    "links to each other": links_to_each_other,
    "a class without images": emptied,
    "a class more": lambda data: picture(data / "train" / "bird" / "0.png"),
    "a class of another case": renamed("test", "dog", "Dog"),
    "a class of another spelling": renamed("test", "dog", "dog\N{COMBINING ACUTE ACCENT}"),
    "a part that is a file": lambda data: (
        renamed("test", ".", "../gone")(data),
        (data / "test").write_text(""),
    ),
    "a part that is missing": lambda data: (data / "test").rename(data / "other"),
    "eleven classes": lambda data: [
        picture(data / part / f"class {n}" / "0.png") for part in ("train", "test") for n in range(9)
    ],
}

HARMLESS: dict[str, Change] = {
    "what macOS leaves": beside("._0.png", lambda path: path.write_bytes(b"\0\5\26\7")),
    "a hidden image": beside(".0.png", lambda path: path.write_text("no image")),
    "a hidden folder": beside(".cache/0.png", lambda path: path.write_text("no image")),
    "a list of thumbnails": beside("Thumbs.db", lambda path: path.write_bytes(b"\xd0\xcf")),
    "a program": beside("setup.py", lambda path: path.write_text("raise SystemExit")),
    "a pickle": beside("images.pkl", lambda path: path.write_bytes(b"cos\nsystem\n(S'touch x'\ntR.")),
    "a text beside classes": lambda data: (data / "train" / "readme.txt").write_text(""),
    "a hidden class": lambda data: picture(data / "train" / ".ipynb_checkpoints" / "0.png"),
    "a folder of a strange name": beside(f"{STRANGE}.d", Path.mkdir),
    "an image that is a folder": beside("3.png", Path.mkdir),
    "folders in folders": deep,
    "links that multiply": many_links,
}


def attempts(chance: random.Random) -> Mapping[str, tuple[Change, bool]]:
    """Each with whether it is refused; what is not, may change nothing of what is read."""
    return {name: (change, True) for name, change in REFUSED.items()} | {
        name: (change, False) for name, change in HARMLESS.items()
    }


def check_folder(attempt: tuple[Change, bool], folder: Path) -> None:
    """Raises AssertionError where data that are wrong are read, or what is none of them changes what is read."""
    change, refused = attempt
    data, weights = folder / "data", folder / "weights.pt"
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            for number in range(3):
                picture(data / part / name / f"{number}.png", value=number)
    weights.write_bytes(b"weights")
    expected = read(data, weights)
    change(data)
    if refused:
        with pytest.raises(UserError) as caught:
            read(data, weights)
        said = visible(str(caught.value))
        assert said.isprintable()
        assert visible(str(data)) in said, "it does not say where"
    else:
        images = read(data, weights)
        assert torch.equal(images.pixels, expected.pixels)
        assert torch.equal(images.targets, expected.targets)


def read(data: Path, weights: Path) -> ImageSet:
    """The images as a run reads them: first as a whole that has a digest, then one by one."""
    assert cifar10(data, weights)["data"].startswith("sha256:")
    return read_folder(data / "train", None, 32)


FOLDERS = Kind("folders", 40, attempts, one_by_one(check_folder))
