"""Quantisers between two widths, against those of both and numbers counted by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actbench.codec import UniformQuantizer
from actbench.codec.learned_widths import InterpolatedQuantizer, bit_price

X = torch.linspace(-2.0, 2.5, 91)


def at(width: float, start: int = 4, widths: tuple[int, ...] = (0, 2, 3, 4, 8)) -> InterpolatedQuantizer:
    """A quantiser that started with one width and learned another."""
    quantizer = InterpolatedQuantizer(UniformQuantizer(start, -1.0, 2.0), widths)
    (gain,) = torch.autograd.grad(quantizer.width, quantizer.shift)
    with torch.no_grad():
        quantizer.shift.fill_((width - start) / float(gain))
    return quantizer


@pytest.mark.parametrize("width", [2, 3, 4, 8])
def test_at_a_possible_width_it_is_the_quantiser_of_that_width(width: int) -> None:
    torch.testing.assert_close(at(width)(X), UniformQuantizer(width, -1.0, 2.0)(X))


def test_at_width_0_everything_is_0() -> None:
    assert torch.equal(at(0)(X), torch.zeros_like(X))


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 8), st.sampled_from([2, 3, 4, 8]))
def test_between_two_widths_values_and_the_gradient_are_on_the_line(width: float, start: int) -> None:
    low, high = next(pair for pair in ((0, 2), (2, 3), (3, 4), (4, 8)) if width < pair[1] or pair[1] == 8)
    ends = [torch.zeros_like(X) if w == 0 else UniformQuantizer(w, -1.0, 2.0)(X).detach() for w in (low, high)]
    quantizer = at(width, start)
    learned = float(quantizer.width.detach())  # in fp32
    expected = ends[0] + (learned - low) / (high - low) * (ends[1] - ends[0])
    torch.testing.assert_close(quantizer(X), expected, rtol=1e-4, atol=1e-5)
    slope, gain = (torch.autograd.grad(of, quantizer.shift)[0] for of in (quantizer(X).sum(), quantizer.width))
    if low < learned < high:
        torch.testing.assert_close(slope / gain, (ends[1] - ends[0]).sum() / (high - low), rtol=1e-4, atol=1e-4)


def test_the_clip_is_learned_with_the_width() -> None:
    quantizer = at(2.5)
    quantizer(X).sum().backward()
    assert quantizer.quantizer.high.grad == (X >= 2).sum(), "as with either width alone"
    assert quantizer.quantizer.low.grad == (X <= -1).sum()


@pytest.mark.parametrize(("width", "end"), [(-1.0, 0), (9.5, 8), (5.0, 5)])
def test_a_width_stays_among_the_possible_ones(width: float, end: int) -> None:
    quantizer = at(width)
    quantizer.confine()
    assert quantizer.width.item() == pytest.approx(end)


def test_only_bits_beyond_the_limit_cost() -> None:
    bits = torch.tensor(130.0, requires_grad=True)
    price = bit_price(bits, 100)
    price.backward()
    assert (float(price), float(bits.grad)) == (pytest.approx(0.3), pytest.approx(0.01))
    assert float(bit_price(torch.tensor(100.0), 100)) == float(bit_price(torch.tensor(5.0), 100)) == 0
