"""Methods on one map: counted by hand, and compared with the map itself."""

from __future__ import annotations

import pytest
import torch

from actbench.budget import Bits, Budget, Ceiling
from actbench.errors import UserError
from actbench.harness.layer import feature_map, layer_bench, measure_layer
from actbench.info import MethodInfo
from actbench_plugins.none.method import Uncompressed
from actbench_plugins.quantize.method import Quantize

SHAPE = (8, 24, 20)


def row(target: str, ceiling: str = "8x", bits: str = "w8a2-8"):
    bench = layer_bench(SHAPE, torch.device("cpu"))
    info = MethodInfo("toy", "Toy", target, version="1")
    return measure_layer(bench, feature_map(bench, None), info, {}, Budget(Ceiling.parse(ceiling), Bits.parse(bits)), 3)


def target(kind: type) -> str:
    return f"{kind.__module__}:{kind.__name__}"


def test_bytes_are_counted_and_the_error_falls_with_the_width() -> None:
    narrow, wide = row(target(Quantize), "16x"), row(target(Quantize), "4x")
    assert (narrow.bytes, wide.bytes) == (8 * 24 * 20 * 2 / 8, 8 * 24 * 20)
    assert (narrow.ratio, wide.ratio) == (16, 4)
    assert narrow.error is not None
    assert wide.error is not None
    assert 0 < wide.error < 0.01 < narrow.error
    assert narrow.encode is not None
    assert narrow.encode > 0


def test_what_makes_no_codec_says_why() -> None:
    assert (row(target(Uncompressed)).ratio, row(target(Uncompressed)).error) == (1, 0)
    assert "1920 are allowed" in row(target(Quantize), "64x").reason
    assert row(target(Quantize), "64x").bytes is None


def test_a_method_that_fails_stops_nobody() -> None:
    assert row("math:nothing").reason.startswith("AttributeError")


def test_an_unknown_map_is_named() -> None:
    with pytest.raises(UserError, match="no feature map 'conv9'"):
        feature_map(layer_bench(SHAPE, torch.device("cpu")), "conv9")
