"""Models by name, and what is wrong with a name or with the user's code in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from actbench.errors import UserError
from actbench.workloads.own.models import build_model, with_one_output

NET = """
import torch
from torch import nn
from beside import width
def net(): return nn.Conv2d(3, width, 1)
def nothing(): return 3
def broken(): raise ValueError("no\\nsuch thing")
module = nn.Identity()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "mynet.py").write_text(NET)
    (tmp_path / "beside.py").write_text("width = 5")
    return tmp_path / "mynet.py"


def test_a_file_and_what_stands_beside_it(file: Path) -> None:
    model = build_model(f"{file}:net")
    assert isinstance(model, nn.Conv2d)
    assert model.out_channels == 5
    assert isinstance(build_model(f"{file}:module"), nn.Identity)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("resnet18", "torchvision:NAME or timm:NAME"),
        ("torchvision:resnet1", "no model 'resnet1'"),
        ("nowhere.py:net", "there is no file nowhere.py"),
        ("{file}:unet", "has no 'unet'"),
        ("{file}:nothing", "gives int"),
        ("{file}:broken", "ValueError: no such thing"),
        ("no_such_module:net", "no_such_module"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(source: str, message: str, file: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build_model(source.format(file=file))
    assert "\n" not in str(caught.value)


def test_torchvision_can_be_imported_by_the_users_module(tmp_path: Path) -> None:
    """In a process that has not imported it: beside another build of torch a plain import fails."""
    (tmp_path / "own.py").write_text("import torchvision\ndef net(): return torchvision.models.resnet18()\n")
    code = "from actbench.workloads.own.models import build_model; print(type(build_model('own.py:net')).__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "ResNet", done.stderr[-500:]


class Outputs(nn.Module):
    def __init__(self, given: str) -> None:
        super().__init__()
        self.given = given

    def forward(self, x: Tensor) -> object:
        return {"dictionary": {"out": x, "aux": -x}, "tuple": (x, -x), "one": x}[self.given]


def test_one_of_several_outputs() -> None:
    x = torch.ones(1)
    assert with_one_output(Outputs("dictionary"), "aux")(x) == -1
    assert with_one_output(Outputs("tuple"), "1")(x) == -1
    for given, key in (("dictionary", "no"), ("tuple", "2"), ("tuple", "out"), ("one", "0")):
        with pytest.raises(UserError, match="--output"):
            with_one_output(Outputs(given), key)(x)
