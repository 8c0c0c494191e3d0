"""Linear decoders: least squares, beside NumPy's."""

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from actbench.codec import fit_decoder
from actbench.codec.linear_fit import ridge_regression


def draw(count: int, channels: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.eye(channels) + 0.2 * torch.randn(channels, channels, generator=generator)
    x = torch.randn(count, channels, 3, 4, generator=generator) + 1
    return torch.einsum("ij,njhw->nihw", mixing, x)


def columns(x: Tensor) -> numpy.ndarray:
    return x.double().transpose(0, 1).flatten(1).numpy()


@given(st.integers(1, 6), st.integers(1, 7), st.integers(3, 40), st.booleans(), st.integers(0, 10**6))
def test_it_is_the_least_squares_solution(kept: int, channels: int, count: int, bias: bool, seed: int) -> None:
    read, target = draw(count, kept, seed), draw(count, channels, seed + 1)
    decoder = nn.Conv2d(kept, channels, 1, bias=bias).double()
    fit_decoder(decoder, read, target)
    x = columns(read)
    if bias:
        x = numpy.vstack([x, numpy.ones(x.shape[1])])
    expected = numpy.linalg.lstsq(x.T, columns(target).T, rcond=None)[0].T
    numpy.testing.assert_allclose(decoder.weight.detach()[:, :, 0, 0], expected[:, :kept], atol=1e-4)
    if decoder.bias is not None:
        numpy.testing.assert_allclose(decoder.bias.detach(), expected[:, kept], atol=1e-4)


def test_what_is_known_exactly_is_found_exactly() -> None:
    read, decoder = draw(9, 4, 0), nn.Conv2d(4, 6, 1)
    with torch.no_grad():
        target = decoder(read)
    other = nn.Conv2d(4, 6, 1)
    fit_decoder(other, read, target)
    torch.testing.assert_close(other.weight, decoder.weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(other.bias, decoder.bias, rtol=1e-4, atol=1e-5)


def test_a_channel_that_is_never_active_keeps_its_weights() -> None:
    read = draw(9, 3, 0)
    read[:, 1] = 0
    decoder = nn.Conv2d(3, 5, 1, bias=False)
    before = decoder.weight.detach()[:, 1].clone()
    fit_decoder(decoder, read, draw(9, 5, 1))
    torch.testing.assert_close(decoder.weight.detach()[:, 1], before)


def test_nothing_to_learn_from_leaves_the_prior() -> None:
    prior = torch.rand(3, 2).double()
    fitted = ridge_regression(torch.zeros(2, 2).double(), torch.zeros(3, 2).double(), prior)
    torch.testing.assert_close(fitted, prior)


@pytest.mark.parametrize("count", [1, 16, 17, 50])
def test_images_are_taken_a_few_at_a_time(count: int) -> None:
    read, target = draw(count, 3, 2), draw(count, 4, 3)
    decoder, other = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
    other.load_state_dict(decoder.state_dict())
    fit_decoder(decoder, read, target)
    wide = [x.transpose(0, 1).flatten(1)[None, :, :, None] for x in (read, target)]
    fit_decoder(other, *wide)
    torch.testing.assert_close(decoder.weight, other.weight, rtol=1e-4, atol=1e-5)
