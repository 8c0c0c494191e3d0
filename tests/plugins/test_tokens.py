"""Every method on tokens."""

import pytest
import torch

import actbench
from actbench.registry import load_plugins
from tests.network.tokens import TinyViT

METHODS = sorted(name for name, info in load_plugins().methods.items() if "inference" in info.tracks)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_keeps_its_ceiling_on_tokens(method: str) -> None:
    torch.manual_seed(0)
    images = torch.randn(8, 3, 16, 16)
    model = TinyViT("packed", class_token=method == "wcc", blocks=1).eval()
    with torch.no_grad():
        expected = model(images)
    ceiling, bits = ("1x", "w32a32") if method == "none" else ("traffic:5x", "w8a2-8")
    compressed = actbench.compress(
        model, method=method, ceiling=ceiling, bits=bits, calibration=images, fit="off", inplace=False
    )
    with torch.no_grad():
        outputs = compressed(images)
    assert outputs.shape == expected.shape
    assert (outputs - expected).norm() < expected.norm()
    assert compressed.footprint(images).traffic_ratio >= (1 if method == "none" else 5)
