"""The files of settings for public data: they say what there is, and read made-up data of their form."""

import json
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from actbench.cli import app
from actbench.cli.suite import read_suite
from actbench.errors import UserError
from actbench.registry import Registry, load_plugins
from actbench.workloads.own.code import Code
from actbench.workloads.own.description import Description
from actbench.workloads.own.models import build_model
from actbench.workloads.own.workload import OwnWorkload
from tests.workloads.own.small import pixels, write_networks

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "suites" / "workloads").glob("*.toml"))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


def settings(name: str, registry: Registry, data: Path | None = None, weights: Path | None = None) -> Description:
    own = read_suite(ROOT / "suites" / "workloads" / f"{name}.toml", registry, data, weights).own
    assert own is not None
    return own


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_says_where_its_network_is_and_needs_data(path: Path, registry: Registry) -> None:
    own = settings(path.stem, registry)
    assert own.name == path.stem
    assert f"--suite suites/workloads/{path.name}" in path.read_text()
    assert f"`{path.stem}`" in (ROOT / "docs" / "workloads.md").read_text()
    if (code := Code.parse(own.model)) is not None:
        assert f"def {code.name}(" in code.file.read_text()
    with pytest.raises(UserError, match=f"workload {path.stem}: say where its images are, with --data"):
        own.digests()


def test_weights_that_are_to_be_given_are_never_random(registry: Registry) -> None:
    described = [settings(path.stem, registry) for path in FILES]
    assert all(own.weights for own in described if own.library is None)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("efficientnet_lite0", (1, 1000)),
        ("dncnn", (1, 1, 64, 64)),
        ("camvid", (1, 11, 64, 64)),
        ("depth", (1, 1, 64, 64)),
    ],
)
def test_networks_of_the_examples(name: str, shape: tuple[int, ...]) -> None:
    file = next(file for file in (ROOT / "examples").glob("*.py") if f"def {name}(" in file.read_text())
    model = build_model(f"{file}:{name}").eval()
    with torch.no_grad():
        assert model(torch.rand(1, 1 if name == "dncnn" else 3, 64, 64)).shape == shape


def test_efficientnet_lite0_has_the_published_size_and_reads_as_tensorflow_does() -> None:
    model = build_model(f"{ROOT / 'examples' / 'efficientnet_lite0.py'}:efficientnet_lite0").eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == 4_652_008
    image = torch.zeros(1, 3, 64, 64)
    image[..., 0, 0] = 1  # without zeros above and to the left, one place of the first layer reads the corner
    with torch.no_grad():
        first = model._conv_stem(model._padding(image))[0, 0]
    assert first.nonzero().tolist() == [[0, 0]]


def test_maps_are_known_without_weights_and_images(tmp_path: Path) -> None:
    write_networks(tmp_path)
    said = ['model = "nets.py:dense"', 'weights = "gone.safetensors"', 'task = "depth"', "input = [3, 8, 12]"]
    (tmp_path / "suite.toml").write_text("\n".join(["[workload]", *said]))
    done = CliRunner().invoke(app, ["maps", "--suite", str(tmp_path / "suite.toml"), "--json"])
    assert done.exit_code == 0, done.output
    assert [(row["height"], row["width"]) for row in json.loads(done.output)["maps"]] == [(8, 12)] * 2


def test_maps_take_the_size_of_images_or_of_the_arguments(tmp_path: Path) -> None:
    write_networks(tmp_path)
    for part in ("train", "test"):
        write(tmp_path / "pairs", pixels(0, (8, 12)), numpy.ones((8, 12), "uint16"), part, "a")
    (tmp_path / "suite.toml").write_text('[workload]\nmodel = "nets.py:dense"\ntask = "depth"\n')
    sizes = {}
    for arguments in (("--data", str(tmp_path / "pairs")), ("--input", "3,6,4")):
        done = CliRunner().invoke(app, ["maps", "--suite", str(tmp_path / "suite.toml"), *arguments, "--json"])
        assert done.exit_code == 0, done.output
        sizes[arguments[0]] = {(row["height"], row["width"]) for row in json.loads(done.output)["maps"]}
    assert sizes == {"--data": {(8, 12)}, "--input": {(6, 4)}}


def write(folder: Path, image: numpy.ndarray, target: numpy.ndarray, part: str, name: str) -> None:
    for what, values in (("images", image), ("labels", target)):
        place = folder / part / what
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(place / f"{name}.png")


def test_pairs_of_camvid(tmp_path: Path, registry: Registry) -> None:
    labels = numpy.random.default_rng(0).integers(0, 12, (48, 64)).astype("uint8")
    for part in ("train", "test"):
        write(tmp_path, pixels(0, (48, 64)), labels, part, "a")
    workload = OwnWorkload(replace(settings("camvid", registry, tmp_path), weights="random"))
    images, targets = next(workload.evaluation_set().batches(1))
    assert workload.model()(images).shape == (1, 11, 48, 64)
    assert targets.max() == 11, "which does not count"
    assert torch.isfinite(workload.loss(workload.model()(images), targets))


def test_a_table_of_voc_and_its_palette(tmp_path: Path, registry: Registry) -> None:
    voc = tmp_path / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (voc / folder).mkdir(parents=True)
    label = Image.fromarray(numpy.full((30, 40), 20, "uint8"), mode="P")
    label.putpalette([value for value in range(256) for _ in range(3)])
    rows = ["file,label,split"]
    for part in ("train", "val"):
        Image.fromarray(pixels(0, (30, 40))).save(voc / "JPEGImages" / f"{part}.jpg")
        label.save(voc / "SegmentationClass" / f"{part}.png")
        rows.append(f"JPEGImages/{part}.jpg,SegmentationClass/{part}.png,{part}")
    (voc / "labels.csv").write_text("\n".join(rows) + "\n")
    workload = OwnWorkload(settings("voc", registry, voc))
    images, targets = workload.evaluation_set().read(slice(0, 1))
    assert (images.shape, targets.unique().tolist()) == ((1, 3, 520, 520), [20])


def test_millimetres_of_nyu_depth(tmp_path: Path, registry: Registry) -> None:
    for part in ("train", "test"):
        write(tmp_path, pixels(0, (48, 64)), numpy.full((48, 64), 2500, "uint16"), part, "a")
    workload = OwnWorkload(settings("nyu-depth", registry, tmp_path))
    images, targets = workload.evaluation_set().read(slice(0, 1))
    assert (images.shape, targets.unique().tolist()) == ((1, 3, 480, 640), [2.5])


def test_grey_pairs_of_set5(tmp_path: Path, registry: Registry) -> None:
    clean = pixels(0, (228, 256))[..., 0]
    for part in ("train", "test"):
        write(tmp_path, clean, clean, part, "a")
    workload = OwnWorkload(replace(settings("set5", registry, tmp_path), weights="random"))
    images, targets = workload.evaluation_set().read(slice(0, 1))
    assert images.shape == targets.shape == (1, 1, 224, 224)
    assert torch.equal(images[0, 0], torch.from_numpy(clean)[2:226, 16:240])
