"""Codes without a gradient: it passes straight through what they stand for."""

import torch
from torch import Tensor
from typing_extensions import override

from actbench.codec import Payload, StraightThroughCodec, unsigned


class Signs(StraightThroughCodec):
    """One bit a value: x̂ = ±1."""

    @override
    def encode_codes(self, x: Tensor) -> Payload:
        return Payload(signs=unsigned((x > 0).to(torch.uint8), 1))

    @override
    def decode_codes(self, payload: Payload) -> Tensor:
        return payload["signs"].float().mul(2).sub(1)


def test_the_same_values_with_and_without_gradients() -> None:
    codec, x = Signs(), torch.tensor([[-2.0, 0.5], [3.0, -0.1]]).reshape(2, 1, 1, 2)
    stored = codec.encode(x)
    assert stored.bits_per_image().tolist() == [2, 2]
    learned = x.clone().requires_grad_()
    decoded = codec(learned)
    assert decoded.tolist() == codec.decode(stored).tolist() == [[[[-1.0, 1.0]]], [[[1.0, -1.0]]]]
    (decoded * torch.arange(4.0).reshape(2, 1, 1, 2)).sum().backward()
    assert learned.grad is not None
    assert learned.grad.flatten().tolist() == [0, 1, 2, 3]


def test_codes_are_stored_where_no_gradient_is_wanted() -> None:
    x = torch.ones(1, 1, 2, 2, requires_grad=True)
    with torch.no_grad():
        assert list(Signs().encode(x)) == ["signs"]
    assert list(Signs().encode(x)) == ["values"]


def test_rows_stand_for_themselves() -> None:
    codec, x = Signs(), torch.randn(1, 2, 4, 3)
    stripes = [codec.encode_rows(x[:, :, row : row + 1], Payload()) for row in range(4)]
    rows = [codec.decode_rows(stripe, Payload()) for stripe in stripes]
    assert torch.equal(torch.cat(rows, 2), codec(x))
