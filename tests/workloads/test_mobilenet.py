"""MobileNetV2 on a small folder of images, end to end."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from actbench.errors import UserError
from actbench.network.trace import trace
from actbench.records.store import read_record
from actbench.workloads.base import WorkloadSettings
from actbench.workloads.identify import mobilenet
from actbench.workloads.mobilenet import MobileNetV2
from actbench.workloads.torchvision_import import torchvision


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    to_image = torchvision("torchvision.transforms.functional").to_pil_image
    for part, count in (("train", 3), ("val", 2)):
        for name in ("cat", "dog"):
            place = tmp_path / "data" / part / name
            place.mkdir(parents=True)
            for number in range(count):
                to_image(torch.randint(256, (3, 300, 260), generator=generator).byte()).save(place / f"{number}.png")
    torch.manual_seed(0)
    save_file(torchvision("torchvision.models").mobilenet_v2(num_classes=2).state_dict(), tmp_path / "w.safetensors")
    return tmp_path


@pytest.mark.slow
def test_a_run_on_a_users_own_folder(folder: Path) -> None:
    command = [sys.executable, "-m", "actbench", "run", "--workload", "mobilenet-v2", "--data", str(folder / "data")]
    more = ["--weights", str(folder / "w.safetensors"), "--methods", "none", "--ceilings", "4x", "--device", "cpu"]
    done = subprocess.run(
        [*command, *more, "--results", str(folder / "r")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    records = {r.spec["method"]["name"]: r for r in map(read_record, (folder / "r").rglob("*.json"))}
    assert records["quantize"].status == "ok", records["quantize"].reason
    assert records["quantize"].measurements.quality is not None
    assert records["quantize"].measurements.quality.images == 4


def test_its_maps_and_images(folder: Path) -> None:
    workload = MobileNetV2(WorkloadSettings(folder / "data", folder / "w.safetensors", None))
    network = trace(workload.model(), workload.input_shape)
    assert len(network.maps) == 51, "52 convolutions, of which the first reads the image"
    largest = max(network.maps, key=lambda fmap: fmap.elements)
    assert (largest.channels, largest.height, largest.width) == (96, 112, 112)
    assert workload.calibration_set().pixels.shape == (6, 3, 224, 224)
    assert workload.evaluation_set().targets.tolist() == [0, 0, 1, 1]


def test_the_digest_follows_the_files(folder: Path) -> None:
    before = mobilenet(folder / "data", None)
    assert before == mobilenet(folder / "data", None)
    (folder / "data" / "val" / "dog" / "1.png").unlink()
    assert mobilenet(folder / "data", None)["data"] != before["data"]


def test_what_is_missing_is_said(folder: Path) -> None:
    with pytest.raises(UserError, match="needs --data DIR"):
        mobilenet(None, None)
    with pytest.raises(UserError, match="has no train"):
        mobilenet(folder, None)
    with pytest.raises(UserError, match="1,000 classes"):
        MobileNetV2(WorkloadSettings(folder / "data", None, None)).model()
