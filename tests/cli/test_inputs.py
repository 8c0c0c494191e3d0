"""Networks of several inputs at the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from actbench.cli import app

NETWORK = """
import torch
from torch import nn


class Shifted(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)
        self.shift = nn.Linear(10, 2)

    def forward(self, image, numbers, offset=None):
        shift, x = self.shift(numbers)[:, :, None, None], torch.relu(self.stem(image))
        return self.head(x if offset is None else x + offset) + shift
"""


@pytest.fixture
def shifted(tmp_path: Path) -> str:
    (tmp_path / "shifted.py").write_text(NETWORK)
    return f"{tmp_path / 'shifted.py'}:Shifted"


def command(verb: str, model: str, inputs: str, *more: str) -> Result:
    return CliRunner().invoke(app, [verb, "--model", model, "--input", inputs, *more])


@pytest.mark.parametrize("inputs", ["image:3,8,12;numbers:10", "numbers:10; image:3,8,12"])
def test_inputs_go_where_their_names_say(shifted: str, inputs: str) -> None:
    report = json.loads(command("maps", shifted, inputs, "--json").output)
    sizes = {row["name"]: (row["channels"], row["height"], row["width"]) for row in report["maps"]}
    assert sizes == {"head": (4, 8, 12), "add": (2, 1, 1)}
    found = json.loads(command("doctor", shifted, inputs, "--json").output)
    assert (found["maps"], found["outputs"], found["identity_error"]) == (2, "2×8×12", 0)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ("image:3,8,12;scale:10", "the model takes image, numbers, offset, in this order"),
        ("image:3,8,12;offset:4,8,12", "the model takes image, numbers, offset, in this order"),
        ("image:3,8,12;image:10", "write each input's name and sizes"),
        ("image:3,8,12;numbers:", "write each input's name and sizes"),
        ("image:3,8,12;numbers:0", "write each input's name and sizes"),
        ("image:3,8,12;numbers:9", "does not accept an image of 3×8×12 and 9"),
    ],
)
def test_what_does_not_fit_is_said(shifted: str, inputs: str, says: str) -> None:
    done = command("maps", shifted, inputs)
    assert done.exit_code != 0
    assert says in str(done.exception) + done.output


def test_operations_are_of_networks_of_one_input(shifted: str) -> None:
    done = command("maps", shifted, "image:3,8,12;numbers:10", "--bops")
    assert "--bops is for networks of one input" in str(done.exception) + done.output
