"""What is said of a network before a run, by networks whose answers are known by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from actbench.harness.doctor import Examination, examine
from actbench.network.trace import trace
from tests.network.features import BY_NAME


def examined(model: nn.Module, *shapes: tuple[int, ...]) -> Examination:
    network = trace(model, shapes[0], others=shapes[1:])
    return examine(network, *(torch.rand(2, *shape) for shape in shapes))


class Mixed(nn.Module):
    """A map, tokens, a normalisation in front of a convolution, and a normalisation of groups, which needs whole maps.

    On images 3×8×8: the stem's map of 4×8×8 values, 16 tokens of 4 values, and at the end a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.patches = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 2, 2)
        self.groups, self.mix, self.head = nn.GroupNorm(2, 4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(self.groups(self.norm(self.stem(x).relu())))
        return self.head(self.mix(x.flatten(2).transpose(1, 2)).mean(1))


def test_a_network_by_hand() -> None:
    found = examined(Mixed(), (3, 8, 8))
    assert (found.way, found.maps, found.peak, found.traffic) == ("fx", 2, 4 * 64, 4 * 64 + 4 * 16)
    assert found.live == 4 * 64 + 4 * 16
    assert found.identity_error == 0
    assert found.deployed_error < 1e-5
    assert found.not_folded == ("norm",)
    assert "groups" in found.whole
    assert set(found.uncounted) == {"head"}
    assert found.outputs == "3"
    assert found.not_quantised == {}
    assert found.warnings == ()


class Lines(nn.Module):
    """Convolutions along lines, between which lies no map: neither C×H×W nor tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Conv1d(12, 8, 1), nn.Conv1d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x.reshape(x.shape[0], 12, 16)).relu()).mean(2)


def test_no_map_is_a_warning_and_what_is_read_instead_is_named() -> None:
    found = examined(Lines(), (3, 8, 8))
    assert found.maps == 0
    assert found.uncounted == {"down": "1×8×16"}
    assert sum(found.beside_maps.values()) == 16 * 8
    assert any("no feature map" in warning for warning in found.warnings)


def test_several_inputs_and_outputs() -> None:
    model, *shapes = BY_NAME["two inputs"]()
    assert examined(model, shapes[0], *shapes[1]).identity_error == 0
    assert examined(*BY_NAME["dictionary out"]()[:2]).outputs == "a dictionary of out, aux"
    assert examined(*BY_NAME["tuple out"]()[:2]).outputs == "2 outputs"


def test_another_width_is_a_warning() -> None:
    (warning,) = examined(*BY_NAME["fp16"]()[:2]).warnings
    assert "float16" in warning
