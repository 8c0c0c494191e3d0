"""Haar beside ptwt, pytorch_wavelets and PyWavelets, the DCT beside SciPy, HOSVD beside tensorly; floor: two copies."""

import ptwt
import pytest
import pytorch_wavelets
import pywt
import scipy.fft
import tensorly
import torch
from tensorly.decomposition import tucker
from torch.nn import functional

from actbench_plugins.dct import transform
from actbench_plugins.hosvd.decomposition import hosvd_epsilon
from actbench_plugins.wcc import haar

LEVELS, GROUP = 3, 8


def two_copies(x: torch.Tensor) -> torch.Tensor:
    return x.clone().clone()


def by_pytorch_wavelets(x: torch.Tensor) -> torch.Tensor:
    forward = pytorch_wavelets.DWTForward(J=LEVELS, wave="haar", mode="zero")
    return pytorch_wavelets.DWTInverse(wave="haar", mode="zero")(forward(x))


HAAR = {
    "actbench": lambda x: haar.inverse(haar.forward(x, LEVELS), x.shape[3], LEVELS),
    "ptwt": lambda x: ptwt.waverec2(ptwt.wavedec2(x, "haar", level=LEVELS), "haar"),
    "pytorch_wavelets": by_pytorch_wavelets,
    "PyWavelets": lambda x: pywt.waverec2(pywt.wavedec2(x.numpy(), "haar", level=LEVELS), "haar"),
    "two copies": two_copies,
}


@pytest.mark.benchmark(group="Haar, forward and inverse, 3 levels, 8×64×128×128", min_rounds=15)
@pytest.mark.parametrize("method", HAAR)
def test_haar(benchmark, method):
    x = torch.randn(8, 64, 128, 128, generator=torch.Generator().manual_seed(0))
    restored = benchmark(HAAR[method], x)
    torch.testing.assert_close(torch.as_tensor(restored), x, atol=1e-4, rtol=0)


DCT = {
    "actbench": lambda x: transform.forward(x, transform.basis(GROUP)),
    "SciPy": lambda x: scipy.fft.dct(x.unflatten(1, (-1, GROUP)).numpy(), axis=2, norm="ortho"),
    "two copies": two_copies,
}


@pytest.mark.benchmark(group="DCT over groups of 8 channels, 8×64×56·56", min_rounds=15)
@pytest.mark.parametrize("method", DCT)
def test_dct(benchmark, method):
    x = torch.randn(8, 64, 56 * 56, generator=torch.Generator().manual_seed(0))
    coefficients = torch.as_tensor(benchmark(DCT[method], x))
    if method != "two copies":
        expected = scipy.fft.dct(x.double().unflatten(1, (-1, GROUP)).numpy(), axis=2, norm="ortho")
        torch.testing.assert_close(coefficients.double(), torch.from_numpy(expected), atol=1e-5, rtol=0)


def tucker_of_equal_ranks(x: torch.Tensor) -> object:
    """tensorly's, without iterations: the truncated HOSVD itself."""
    return tucker(x, RANKS, n_iter_max=0, init="svd", tol=None)


RANKS = [22, 41, 5, 5]
"""Those of ε = 0.8."""

HOSVD = {
    "actbench": lambda x: hosvd_epsilon(x, 0.8),
    "tensorly": tucker_of_equal_ranks,
    "two copies": two_copies,
}


@pytest.mark.benchmark(group="HOSVD, ε = 0.8, 32×64×28×28", min_rounds=9)
@pytest.mark.parametrize("method", HOSVD)
def test_hosvd(benchmark, method):
    generator = torch.Generator().manual_seed(0)
    smooth = functional.interpolate(torch.randn(32, 64, 7, 7, generator=generator), scale_factor=4, mode="bilinear")
    x = smooth.relu() + 0.05 * torch.randn(smooth.shape, generator=generator)
    tensorly.set_backend("pytorch")
    result = benchmark(HOSVD[method], x)
    if method == "two copies":
        return
    core, factors = (result.core, list(result.factors)) if method == "actbench" else result
    error = float((tensorly.tucker_to_tensor((core, factors)) - x).norm() / x.norm())
    assert list(core.shape) == RANKS
    assert error == pytest.approx(0.6662, abs=1e-4)
