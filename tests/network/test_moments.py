"""Moments against numpy in fp64, and what they need on the way."""

import numpy
import pytest
import torch
from torch import Tensor

from actbench.measure.memory import peak_live_bytes
from actbench.network.moments import Moments

SHAPES = [(1, 3, 1500, 700), (70, 16, 40, 30), (2, 700, 3, 5), (3, 2, 1, 1)]


def drawn(shape: tuple[int, ...], mean: float = 3.0) -> Tensor:
    """Correlated channels of different sizes."""
    generator = torch.Generator().manual_seed(1)
    mixing = torch.randn(shape[1], shape[1], generator=generator) / shape[1] ** 0.5
    return torch.einsum("dc,nchw->ndhw", mixing, torch.randn(shape, generator=generator)) + mean


def summed(x: Tensor, batch: int) -> Moments:
    moments = Moments()
    for part in x.split(batch):
        moments.add(part)
    return moments


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("batch", [1, 64])
def test_sums_are_those_of_fp64(shape: tuple[int, ...], batch: int) -> None:
    x = drawn(shape)
    columns = x.double().transpose(0, 1).flatten(1).numpy()
    moments = summed(x, batch)
    total, products, count = moments.sums()
    assert count == columns.shape[1]
    scale = numpy.sqrt((columns**2).sum(1))
    numpy.testing.assert_allclose(total, columns.sum(1), atol=2e-6 * scale.max() * count**0.5)
    assert numpy.abs((products.numpy() - columns @ columns.T) / numpy.outer(scale, scale)).max() < 2e-6
    assert (moments.minimum, moments.maximum) == (columns.min(), columns.max())


def test_channels_last_and_half_precision() -> None:
    x = drawn((4, 6, 9, 11)).half()
    expected = summed(x.float(), 4).sums()
    for same in (x, x.contiguous(memory_format=torch.channels_last), x.permute(0, 2, 3, 1).clone().permute(0, 3, 1, 2)):
        total, products, count = summed(same, 4).sums()
        torch.testing.assert_close((total, products, count), expected, rtol=1e-5, atol=1e-3)


def test_a_large_mean_drowns_no_covariance() -> None:
    """fp32 products of values near 1000 lose what differs by 0.01."""
    x = 0.01 * drawn((4, 3, 256, 512), mean=0.0) + 1000
    total, products, count = summed(x, 1).sums()
    covariance = products / count - torch.outer(total, total) / count**2
    expected = numpy.cov(x.double().transpose(0, 1).flatten(1).numpy(), bias=True)
    numpy.testing.assert_allclose(covariance, expected, rtol=1e-3, atol=1e-8)


def test_no_copy_of_a_whole_tensor_is_made() -> None:
    x = torch.randn(1, 16, 1024, 1024)
    assert peak_live_bytes(lambda: Moments().add(x)) < x.nbytes / 4
