"""Data that are wrong are named, by file, in one line."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from actbench.errors import UserError
from actbench.workloads.base import WorkloadSettings
from actbench.workloads.folder import read_folder
from actbench.workloads.identify import cifar10, mobilenet
from actbench.workloads.mobilenet import MobileNetV2
from actbench.workloads.torchvision_import import torchvision


def picture(path: Path, size: tuple[int, int] = (32, 32), value: int = 7) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 2, 3)).save(path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for part in ("train", "test", "val"):
        for name in ("cat", "dog"):
            for number in range(3):
                picture(tmp_path / "data" / part / name / f"{number}.png", value=number)
    return tmp_path / "data"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"weights")
    return path


def bomb(path: Path, side: int) -> None:
    """A PNG of a few bytes that says that it has side² pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def truncated(path: Path) -> None:
    Image.effect_noise((32, 32), 50).convert("RGB").save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:-200])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[20] ^= 0xFF
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "nothing in it": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not an image"),
    "half a PNG": lambda path: path.write_bytes(path.read_bytes()[:60]),
    "a flipped bit": flipped,
    "half a JPEG": truncated,
    "PostScript": lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EOF\n"),
    "a bomb": lambda path: bomb(path, 9000),
    "a large bomb": lambda path: bomb(path, 60_000),
    "too large": lambda path: picture(path, (33, 32)),
    "too small": lambda path: picture(path, (1, 1)),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_image_is_named(data: Path, damage: str) -> None:
    path = data / "train" / "dog" / "1.png"
    DAMAGE[damage](path)
    with pytest.raises(UserError) as caught:
        read_folder(data / "train", None, 32)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_first_image_of_another_size_is_named(data: Path) -> None:
    for name in ("cat/2.png", "dog/0.png"):
        picture(data / "train" / name, (30, 40))
    with pytest.raises(UserError, match=r"cat/2\.png is 3×40×30, not 3×32×32"):
        read_folder(data / "train", None, 32)


@pytest.mark.parametrize("name", ["._0.png", ".0.png", ".cache/0.png", "notes.txt", "Thumbs.db"])
def test_what_is_hidden_or_no_image_is_left_out(data: Path, weights: Path, name: str) -> None:
    path = data / "train" / "cat" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\0\5\26\7 not an image")
    assert len(read_folder(data / "train", None, 32)) == 6
    assert cifar10(data, weights)


def test_a_hidden_folder_is_no_class(data: Path, weights: Path) -> None:
    picture(data / "train" / ".ipynb_checkpoints" / "0.png")
    (data / "train" / "readme.txt").write_text("")
    assert read_folder(data / "train", None, 32).targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert cifar10(data, weights)


def test_images_are_those_of_torchvision_in_its_order(data: Path) -> None:
    for number, name in enumerate(["a/9.png", "a.png", "Z.PNG", "b/c/1.jpeg", "10.png", "é.webp"]):
        picture(data / "train" / "cat" / name, value=50 + number)
    images, dataset = read_folder(data / "train", None, 32), torchvision("torchvision.datasets").ImageFolder
    to_tensor = torchvision("torchvision.transforms.functional").pil_to_tensor
    expected = [(to_tensor(image), target) for image, target in dataset(str(data / "train"))]
    assert torch.equal(images.pixels, torch.stack([pixels for pixels, _ in expected]))
    assert images.targets.tolist() == [target for _, target in expected]


def test_pipes_are_never_opened(data: Path) -> None:
    os.mkfifo(data / "train" / "dog" / "3.png")
    with pytest.raises(UserError, match=r"dog/3\.png is neither a file nor a folder"):
        read_folder(data / "train", None, 32)


def test_links_are_followed_and_their_loops_named(data: Path) -> None:
    (data / "linked").mkdir()
    for name in ("cat", "dog"):
        (data / "linked" / name).symlink_to(data / "train" / name)
    assert len(read_folder(data / "linked", None, 32)) == 6
    (data / "train" / "dog" / "loop").symlink_to("..")
    with pytest.raises(UserError, match="dog/loop"):
        read_folder(data / "linked", None, 32)


def test_names_that_are_no_text_work(data: Path) -> None:
    folder = os.fsdecode(os.fsencode(data / "train") + b"/\xff")
    path = picture(Path(folder) / os.fsdecode(b"\xfe\x1b]0;x\x07.png"))
    assert len(read_folder(data / "train", None, 32)) == 7
    path.write_bytes(b"")
    with pytest.raises(UserError, match="cannot read image") as caught:
        read_folder(data / "train", None, 32)
    assert r"/\udcff/\udcfe\x1b]0;x\x07.png" in str(caught.value)


def test_a_class_without_images_is_named_when_a_run_is_planned(data: Path, weights: Path) -> None:
    for path in (data / "test" / "dog").iterdir():
        path.rename(path.with_name(f"._{path.name}"))
    with pytest.raises(UserError, match=r"no images in .*test/dog"):
        cifar10(data, weights)
    with pytest.raises(UserError, match=r"no images in .*test/dog"):
        read_folder(data / "test", None, 32)


def test_a_part_without_classes_is_named(data: Path) -> None:
    for path in [*(data / "val").rglob("*.png")]:
        path.rename(data / "val" / f"{path.parent.name}-{path.name}")
    for name in ("cat", "dog"):
        (data / "val" / name).rmdir()
    with pytest.raises(UserError, match=r"no images in .*val: put them into folders of their classes"):
        mobilenet(data, None)


@pytest.mark.parametrize(
    ("part", "says"), [("train", "train/bird and no test/bird"), ("test", "test/bird and no train")]
)
def test_classes_that_differ_are_named(data: Path, weights: Path, part: str, says: str) -> None:
    picture(data / part / "bird" / "0.png")
    with pytest.raises(UserError, match=says):
        cifar10(data, weights)


def test_classes_that_the_head_lacks_are_counted(data: Path, weights: Path) -> None:
    for part in ("train", "test"):
        for number in range(9):
            picture(data / part / f"class {number}" / "0.png")
    with pytest.raises(UserError, match="has 11 classes, and the network has outputs for 10"):
        cifar10(data, weights)


def test_a_checkpoint_for_other_classes_is_named_with_both_numbers(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "ten.safetensors"
    save_file(torchvision("torchvision.models").mobilenet_v2(num_classes=10).state_dict(), path)
    with pytest.raises(UserError, match=r"ten\.safetensors is for 10 classes, and .*data has 2"):
        MobileNetV2(WorkloadSettings(data, path)).model()
    with pytest.raises(UserError, match=r"1,000 classes, and .*data has 2: give --weights"):
        MobileNetV2(WorkloadSettings(data)).model()
