"""The lossless coders on 8-bit codes of a map with half of its values zero, and NumPy's bit packing as the floor."""

import numpy
import pytest
import torch
from torch.nn import functional

from actbench_plugins.coding.bit_plane import BitPlane
from actbench_plugins.coding.exponential_golomb import SparseExponentialGolomb
from actbench_plugins.coding.run_length import RunLength
from actbench_plugins.coding.sparse_column import SparseColumn
from actbench_plugins.coding.zero_value import ZeroValue

CODERS = {
    "ZVC": ZeroValue(),
    "RLE": RunLength(),
    "CSC": SparseColumn(),
    "EBPC": BitPlane(),
    "SEG": SparseExponentialGolomb(4),
}


@pytest.fixture(scope="module")
def codes() -> torch.Tensor:
    """(16, 64·56·56) codes of smooth maps with noise, behind a ReLU."""
    generator = torch.Generator().manual_seed(0)
    smooth = functional.interpolate(torch.randn(16, 64, 7, 7, generator=generator), scale_factor=8, mode="bilinear")
    x = (smooth + 0.1 * torch.randn(smooth.shape, generator=generator)).relu()
    return (255 * x / x.max()).round().byte().flatten(1)


@pytest.mark.benchmark(group="encoding", min_rounds=9)
@pytest.mark.parametrize("coder", CODERS)
def test_encode(benchmark, coder, codes):
    benchmark.extra_info["megabytes"] = codes.numel() / 1e6
    benchmark(CODERS[coder].encode, codes, 8)


@pytest.mark.benchmark(group="decoding", min_rounds=3)
@pytest.mark.parametrize("coder", CODERS)
def test_decode(benchmark, coder, codes):
    benchmark.extra_info["megabytes"] = codes.numel() / 1e6
    stream = CODERS[coder].encode(codes, 8)
    assert torch.equal(benchmark(CODERS[coder].decode, stream, codes.shape[1], 8), codes)


@pytest.mark.benchmark(group="packing alone", min_rounds=9)
def test_packing(benchmark, codes):
    benchmark.extra_info["megabytes"] = codes.numel() / 1e6
    bits = CODERS["ZVC"].encode(codes, 8).bits.numpy()
    benchmark(numpy.packbits, bits)
