"""Operations of layers against hand counts, and the same by the command."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from actbench.budget import Bits, Budget, Ceiling
from actbench.cli import app
from actbench.codec import (
    Allowance,
    Codec,
    FeatureMap,
    MapStatistics,
    Method,
    PlainCodec,
    Plan,
    UniformQuantizer,
    Unsupported,
)
from actbench.errors import UserError
from actbench.harness.operations import LayerOperations, method_operations, plain_operations
from actbench.network.trace import TracedNetwork, trace
from actbench.registry import load_plugins

STEM, DEPTHWISE, POINT, LAST = 64 * 3 * 4 * 9, 16 * 4 * 9, 16 * 4 * 6, 16 * 6 * 5
W8A8 = Budget(Ceiling.parse("traffic:8x"), Bits.parse("w8a8"))
NETWORK = """
from torch import nn

def tiny():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1, groups=4), nn.ReLU(),
        nn.Conv2d(4, 6, 1), nn.ReLU(), nn.Conv2d(6, 5, 1),
    )
"""


@pytest.fixture
def network() -> TracedNetwork:
    names: dict[str, type[nn.Module]] = {}
    exec(NETWORK, names)
    torch.manual_seed(0)
    return trace(names["tiny"](), (3, 8, 8))


def test_every_layer_is_counted_at_the_widths_of_plain_codes(network: TracedNetwork) -> None:
    layers = plain_operations(network, Bits.parse("w8a4"))
    assert layers == [
        LayerOperations("0", STEM, 8 * 8 * STEM, (3, 3)),
        LayerOperations("2", DEPTHWISE, 8 * 4 * DEPTHWISE, (3, 3), 4),
        LayerOperations("4", POINT, 8 * 4 * POINT, (1, 1)),
        LayerOperations("6", LAST, 8 * 4 * LAST, (1, 1)),
    ]
    assert [layer.pointwise for layer in layers] == [False, False, True, True]
    assert not any(parameter.is_meta for parameter in network.module.parameters()), "the network is as it was"


def test_fp32_is_32_by_32(network: TracedNetwork) -> None:
    layers = plain_operations(network, Bits.parse("w32a32"))
    assert [layer.bit_operations for layer in layers] == [1024 * layer.macs for layer in layers]


class Narrow(Method):
    """Two bits for what 1×1 convolutions read, and nothing else."""

    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        if not all(reader.pointwise for reader in fmap.readers):
            raise Unsupported("not for these")
        return PlainCodec(UniformQuantizer(2, 0, 1, nonnegative=True))


class Whole(Narrow):
    def plan(self, *given: object) -> Plan:  # type: ignore[override]
        raise NotImplementedError


def test_a_methods_codecs_stand_where_it_makes_some(network: TracedNetwork) -> None:
    layers = {layer.layer: layer for layer in method_operations(network, Narrow({}), W8A8)}
    assert layers["2"].bit_operations == 8 * 8 * DEPTHWISE
    assert layers["4"].bit_operations == 8 * 2 * POINT
    with pytest.raises(UserError, match="Whole plans for a whole network"):
        method_operations(network, Whole({}), W8A8)


def test_wavelets_convolve_what_they_keep(network: TracedNetwork) -> None:
    """A quarter of 16 positions, 4 of which are kept, and 42 bit operations for each value in and out."""
    method = load_plugins().load(load_plugins().method("wcc").target)({**_options("wcc"), "where": "pointwise"})
    layers = {layer.layer: layer for layer in method_operations(network, method, W8A8)}
    kept = layers["6"].macs * 16 / LAST
    assert 0 < kept < 16
    assert kept == int(kept)
    assert layers["6"].bit_operations == 8 * 8 * layers["6"].macs
    assert layers["6, encoded"].macs == 0
    assert layers["6, encoded"].bit_operations > 0


def _options(name: str) -> dict[str, object]:
    return dict(load_plugins().method(name).resolve({}))


def test_the_command_says_both(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(NETWORK)
    arguments = ["maps", "--model", f"{tmp_path / 'tiny.py'}:tiny", "--input", "3,8,8", "--bops", "--bits", "w8a8"]
    report = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert report["all"]["macs"] == STEM + DEPTHWISE + POINT + LAST
    assert report["all"]["fp32_bit_operations"] == 1024 * report["all"]["macs"]
    assert report["inner"]["bit_operations"] == 64 * (DEPTHWISE + POINT)
    method = ["--method", "wcc", "--option", "wcc.where=pointwise", "--ceiling", "traffic:8x"]
    said = CliRunner().invoke(app, [*arguments, *method]).output
    assert "without the first and the last: 0.000 G" in said
    refused = CliRunner().invoke(app, [*arguments[:-3], "--method", "wcc"])
    assert isinstance(refused.exception, UserError) or refused.exit_code == 2
