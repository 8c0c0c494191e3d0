"""What tests of learnable codecs whose strings carry no gradient compare."""

import torch

from actbench.codec.rate_control import Ladder


def gradient_of(ladder: Ladder, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The gradient of `Σ weights·decoded` at x, where what is decoded is, to the bit, what strings are decoded to, on
    the same rungs."""
    with torch.no_grad():
        stored = ladder.encode(x)
        expected = ladder.decode(stored)
    leaf = x.clone().requires_grad_()
    payload = ladder.encode(leaf)
    decoded = ladder.decode(payload)
    assert "stream" in stored
    assert "stream" not in payload
    assert torch.equal(payload["rung"], stored["rung"])
    assert torch.equal(decoded, expected)
    (decoded * weights).sum().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    return leaf.grad
