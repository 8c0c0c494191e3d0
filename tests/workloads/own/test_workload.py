"""The workload of a description: every form of data, every task, and what is said where they do not go together."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from torch import nn

from actbench.errors import UserError
from actbench.network.trace import trace
from actbench.workloads.folder import DEVIATION, MEAN
from actbench.workloads.own.description import Description
from actbench.workloads.own.fitting import cropped, scaled, scaled_labels
from actbench.workloads.own.models import build_model, of_one_output, pick
from actbench.workloads.own.tasks import INTERPOLATIONS
from actbench.workloads.own.workload import OwnWorkload
from tests.workloads.own.small import pixels, write_classes, write_networks, write_pairs


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_networks(tmp_path)
    return tmp_path


def own(**more: Any) -> OwnWorkload:
    values = {"model": "nets.py:dense", "task": "segmentation", "data": "data"}
    return OwnWorkload(Description.from_json(values | more))


def labels(kind: type[numpy.generic], most: int) -> dict[str, Any]:
    random = numpy.random.default_rng(0)
    return {name: random.integers(0, most, (16, 16)).astype(kind) for name in ("a", "b", "c")}


def score(workload: OwnWorkload) -> float:
    """The network's quality, and its loss, which is finite and has gradients."""
    images, targets = next(workload.evaluation_set().batches(8))
    outputs = workload.model()(images)
    loss = workload.loss(outputs, targets) + workload.divergence(outputs, outputs.detach())
    loss.backward()
    assert torch.isfinite(loss)
    return float(workload.metric.score(workload.metric.per_image(outputs.detach(), targets).mean(0)))


def test_folders_of_classes(folder: Path) -> None:
    write_classes(folder / "data")
    workload = own(model="nets.py:classifier", task="classification")
    images = workload.training_set()
    assert (len(images), workload.input_shape) == (12, (3, 16, 16))
    assert images.loaded().targets.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    expected = (torch.from_numpy(pixels(100)).permute(2, 0, 1) / 255 - torch.tensor(MEAN)[:, None, None]).div(
        torch.tensor(DEVIATION)[:, None, None]
    )
    assert torch.allclose(images.images(slice(3, 4))[0], expected)
    assert (workload.info.metric, workload.info.reference_point) == ("top-1", 25.0)
    assert 0 <= score(workload) <= 100


def test_the_same_weights_each_time(folder: Path) -> None:
    write_classes(folder / "data")
    first, second = (own(model="nets.py:classifier", task="classification").model() for _ in range(2))
    torch.rand(3)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("kind", [numpy.uint8, numpy.uint16])
def test_masks(folder: Path, kind: type[numpy.generic]) -> None:
    masks = labels(kind, 3)
    masks["a"][:4] = 255
    write_pairs(folder / "data", masks)
    workload = own()
    _, targets = workload.evaluation_set().read(slice(None))
    assert torch.equal(targets.long(), torch.stack([torch.from_numpy(mask.astype("int64")) for mask in masks.values()]))
    assert 0 <= score(workload) <= 100
    with pytest.raises(UserError, match=r"a label is 255, and the network's 3 classes are 0 to 2; --ignore 255"):
        score(own(ignore=7))


@pytest.mark.parametrize(("kind", "suffix", "scale"), [(numpy.uint16, ".png", 256.0), (numpy.float32, ".npy", 1.0)])
def test_depths(folder: Path, kind: type[numpy.generic], suffix: str, scale: float) -> None:
    depths = labels(kind, 2000)
    write_pairs(folder / "data", depths, suffix)
    workload = own(model="nets.py:depth", task="depth", scale=scale)
    _, targets = workload.evaluation_set().read(slice(0, 1))
    assert torch.equal(targets[0], torch.from_numpy(depths["a"].astype("float32")) / scale)
    assert score(workload) > 0
    assert workload.info.better == "less"


def test_restoration(folder: Path) -> None:
    write_pairs(folder / "data", {str(seed): pixels(seed + 50) for seed in range(3)})
    workload = own(task="restoration", metric="psnr")
    pictures, clean = workload.evaluation_set().read(slice(0, 1))
    assert (pictures.dtype, clean.dtype, clean.shape) == (torch.uint8, torch.uint8, (1, 3, 16, 16))
    assert 0 < score(workload) < 100
    assert torch.equal(workload.evaluation_set().images(slice(0, 1)), pictures / 255), "as they are"
    noisy, negatives = workload.transfer_sets()[1].read(slice(0, 1))
    assert torch.equal(noisy, 255 - pictures)
    assert torch.equal(negatives, 255 - clean), "what is to be restored is the negative, too"


def test_what_is_restored_is_cropped_and_not_scaled(folder: Path) -> None:
    sizes = {"a": (16, 16), "b": (12, 20)}
    write_pairs(folder / "data", {name: pixels(50, size) for name, size in sizes.items()})
    workload = own(task="restoration", input=[3, 8, 12])
    pictures, clean = workload.training_set().read(slice(0, 2))
    assert torch.equal(pictures[1], torch.from_numpy(pixels(1, (12, 20))).permute(2, 0, 1)[:, 2:10, 4:16])
    assert torch.equal(clean[1], torch.from_numpy(pixels(50, (12, 20))).permute(2, 0, 1)[:, 2:10, 4:16])
    with pytest.raises(UserError, match=r"b.png is 3×12×20, and --input is 3×16×12: give a size that all of them have"):
        own(task="restoration", input=[3, 16, 12]).evaluation_set().read(slice(0, 2))


def test_numbers_of_a_table(folder: Path) -> None:
    (folder / "data").mkdir()
    for seed in range(4):
        Image.fromarray(pixels(seed)).save(folder / "data" / f"{seed}.png")
    rows = "".join(f"{seed}.png,{seed + 0.5},{part}\n" for seed, part in enumerate(["train", "test"] * 2))
    (folder / "data" / "labels.csv").write_text("file,label,split\n" + rows)
    workload = own(model="nets.py:number", task="regression", scale=0.5)
    assert workload.evaluation_set().read(slice(None))[1].tolist() == [[3.0], [7.0]]
    assert score(workload) > 0


@pytest.mark.parametrize("floating", [False, True])
def test_arrays(folder: Path, floating: bool) -> None:
    images = numpy.stack([pixels(seed) for seed in range(6)]).transpose(0, 3, 1, 2)
    stored = images / 255 if floating else images
    classes = numpy.arange(6) % 4
    numpy.savez(folder / "data.npz", train_images=stored, train_targets=classes, val_images=stored, val_targets=classes)
    workload = own(model="nets.py:classifier", task="classification", data="data.npz", mean=[0.5] * 3, std=[0.5] * 3)
    expected = (torch.from_numpy(images) / 255 - 0.5) / 0.5
    assert torch.allclose(workload.evaluation_set().images(slice(None)), expected, atol=1e-6)
    negative = workload.transfer_sets()[0].images(slice(None))
    assert torch.allclose(negative, -expected, atol=1e-6), "of 0 to 1"
    assert 0 <= score(workload) <= 100


DATASET = """
import torch


class Noise(torch.utils.data.Dataset):
    def __init__(self, part):
        self.part = part

    def __len__(self):
        return 8 if self.part == "train" else 4

    def __getitem__(self, index):
        if self.part == "test" and index == 2:
            raise OSError("the disk is gone")
        return torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(index)), index % 4


def uneven(part):
    return [(torch.zeros(3, 8 + index, 8), 0) for index in range(4)]


def nothing(part):
    return []


def number(part):
    return 3
"""


def test_a_data_set_of_ones_own(folder: Path) -> None:
    (folder / "mine.py").write_text(DATASET)
    workload = own(model="nets.py:classifier", task="classification", data="mine.py:Noise")
    assert len(workload.training_set()) == 8
    assert workload.training_set().images(slice(0, 1)).max() <= 1, "as it gives them"
    with pytest.raises(UserError, match=r"mine.py:Noise, test 2: OSError: the disk is gone \(mine.py:14\)"):
        score(workload)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("uneven", r"train 1: shapes \(3, 9, 8\) and \(3, 8, 8\)"),
        ("nothing", "gives no image for train"),
        ("number", "gives int, not a data set"),
        ("none", "mine.py has no 'none'"),
    ],
)
def test_data_sets_that_are_none(folder: Path, name: str, says: str) -> None:
    (folder / "mine.py").write_text(DATASET)
    with pytest.raises(UserError, match=says):
        own(model="nets.py:classifier", task="classification", data=f"mine.py:{name}").training_set().loaded()


def test_images_of_unequal_size(folder: Path) -> None:
    write_classes(folder / "data")
    Image.fromarray(pixels(1, (20, 24))).save(folder / "data" / "train" / "class-000" / "1.png")
    values = {"model": "nets.py:classifier", "task": "classification"}
    with pytest.raises(UserError, match=r"class-000/1.png is 3×20×24, and .*class-000/0.png is 3×16×16.*--input C,H,W"):
        own(**values).training_set().loaded()
    assert own(**values, input=[3, 12, 8]).training_set().loaded().pixels.shape == (12, 3, 12, 8)
    assert own(**values, input=[3, 16, 16]).training_set().loaded().pixels.shape == (12, 3, 16, 16)


def test_parts_of_unequal_size(folder: Path) -> None:
    write_classes(folder / "data")
    write_classes(folder / "larger", size=(20, 20))
    shutil.rmtree(folder / "data" / "test")
    (folder / "larger" / "test").rename(folder / "data" / "test")
    workload = own(model="nets.py:classifier", task="classification")
    with pytest.raises(UserError, match=r"test images are 3×20×20, training images 3×16×16: give the size"):
        workload.evaluation_set()


def test_scaling() -> None:
    image = torch.arange(64, dtype=torch.uint8).reshape(1, 8, 8).repeat(3, 32, 64)
    assert cropped(image, (3, 224, 224), "bilinear").shape == (3, 224, 224)
    wide = torch.zeros(3, 256, 512, dtype=torch.uint8)
    wide[:, 16:240, 144:368] = 9
    for interpolation in INTERPOLATIONS:
        assert (cropped(wide, (3, 224, 224), interpolation) == 9).all(), "the middle, 224 of 256"
    edge = torch.zeros(1, 64, 64, dtype=torch.uint8)
    edge[:, :, 32:] = 100
    assert scaled(edge, (1, 128, 128), "bilinear").max() == 100
    assert scaled(edge, (1, 128, 128), "bicubic").max() > 100, "which overshoots"
    mask = torch.tensor([[0, 255], [7, 1]], dtype=torch.uint8)
    assert scaled_labels(mask, (3, 4, 4)).unique().tolist() == [0, 1, 7, 255]


def unreadable(folder: Path) -> None:
    (folder / "data" / "train" / "images" / "b.png").write_bytes(b"not a picture")


def smaller_label(folder: Path) -> None:
    Image.fromarray(numpy.zeros((8, 8), numpy.uint8)).save(folder / "data" / "train" / "labels" / "b.png")


def coloured_label(folder: Path) -> None:
    Image.fromarray(pixels(0)).save(folder / "data" / "train" / "labels" / "b.png")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (unreadable, "cannot read image data/train/images/b.png"),
        (smaller_label, "label data/train/labels/b.png is 8×8, and image data/train/images/b.png is 16×16"),
        (coloured_label, r"b.png has the shape \(16, 16, 3\)"),
    ],
)
def test_files_that_are_damaged_are_named(folder: Path, spoil: Callable[[Path], None], says: str) -> None:
    write_pairs(folder / "data", labels(numpy.uint8, 3))
    spoil(folder)
    with pytest.raises(UserError, match=says):
        own().training_set().loaded()


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("nets.py:nothing", "nets.py has no 'nothing'"),
        ("nets.py:broken", r"ValueError: no such layer \(nets.py:35\); give a function without arguments"),
        ("nets.py:text", "gives str, not a torch.nn.Module"),
        ("torchvision:resnet19", "torchvision has no model 'resnet19'"),
        ("nets.py:dense", "gives 3×16×16 for labels of one number, which is no classification"),
        ("nets.py:classifier", "has outputs for 4 classes, and the data has 6"),
    ],
)
def test_models_that_are_none(folder: Path, model: str, says: str) -> None:
    write_classes(folder / "data", classes=6, each=1)
    with pytest.raises(UserError, match=says) as raised:
        own(model=model, task="classification", weights="random").model()
    assert "\n" not in str(raised.value)


def test_weights_of_another_model(folder: Path) -> None:
    write_classes(folder / "data", each=1)
    torch.save(nn.Linear(3, 4).state_dict(), folder / "weights.pt")
    with pytest.raises(UserError, match=r"checkpoint weights\.pt does not fit Sequential"):
        own(model="nets.py:classifier", task="classification", weights="weights.pt").model()


def test_one_of_several_outputs(folder: Path) -> None:
    write_pairs(folder / "data", labels(numpy.uint8, 3))
    workload = own(model="nets.py:Several")
    assert 0 <= score(workload) <= 100
    network = trace(workload.model(), workload.input_shape)
    assert [fmap.name for fmap in network.maps] == ["net.2", "net.4"], "as without picking"
    assert set(workload.model().state_dict()) == set(build_model("nets.py:Several").state_dict())
    with pytest.raises(UserError, match="outputs are out, aux; name one"):
        own(model="nets.py:Several", output="mask").model()
    with pytest.raises(UserError, match="gives 1×16×16"):
        own(model="nets.py:Several", output="aux", task="restoration").model()


def test_picking() -> None:
    assert pick((1, 2), "") == 1
    assert pick([1, 2], "1") == 2
    assert pick({"only": 3}, "") == 3
    with pytest.raises(UserError, match="has 2 outputs; give a number"):
        pick((1, 2), "2")
    with pytest.raises(UserError, match="one output; leave it out"):
        pick(torch.zeros(1), "out")


def test_torchvisions_networks_for_segmentation_can_be_traced() -> None:
    model = build_model("torchvision:lraspp_mobilenet_v3_large", classes=11).eval()
    picked, outputs = of_one_output(model, "", torch.zeros(1, 3, 48, 64))
    assert outputs.shape == (1, 11, 48, 64)
    network = trace(picked, (3, 48, 64))
    image = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(network.module(image), picked(image), atol=1e-5)
    assert "backbone.1.block.0.0" in {fmap.name for fmap in network.maps}


def test_timm_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(UserError, match="needs the package timm: `pip install timm`"):
        build_model("timm:resnet18")


def test_a_description_is_plain(folder: Path) -> None:
    write_classes(folder / "data")
    workload = own(model="nets.py:classifier", task="classification", input=[3, 8, 8])
    assert json.loads(json.dumps(workload.description.canonical())) == workload.description.canonical()
