"""Codes side by side in bytes, beside the way through a byte a bit and a copy of the codes as the floor."""

import numpy
import pytest
import torch

from actbench.codec.bit_strings import from_bits, to_bits
from actbench.codec.packed_codes import pack_codes, unpack_codes

COUNT = 16 * 64 * 56 * 56
WIDTHS = [1, 2, 3, 4, 5, 6, 7, 8]


def pack_bits(codes: torch.Tensor, width: int) -> torch.Tensor:
    return torch.from_numpy(numpy.packbits(to_bits(codes, width).numpy()))


def unpack_bits(packed: torch.Tensor, width: int) -> torch.Tensor:
    return from_bits(torch.from_numpy(numpy.unpackbits(packed.numpy())).reshape(-1, width), width)


PACK = {
    "actbench": pack_codes,
    "a byte a bit": pack_bits,
    "clone": lambda codes, _: codes.clone(),
}
UNPACK = {
    "actbench": lambda packed, width, _: unpack_codes(packed, COUNT, width),
    "a byte a bit": lambda packed, width, _: unpack_bits(packed, width),
    "clone": lambda _, __, codes: codes.clone(),
}


@pytest.fixture(params=WIDTHS, ids=lambda width: f"{width} bits")
def width(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def codes(width: int) -> torch.Tensor:
    return torch.randint(0, 1 << width, (COUNT,), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("method", PACK)
def test_pack(benchmark, method, codes, width):
    benchmark.group = f"packing in {width} bits"
    benchmark.extra_info["megabytes"] = COUNT / 1e6
    benchmark.pedantic(PACK[method], (codes, width), rounds=9, warmup_rounds=1)


@pytest.mark.parametrize("method", UNPACK)
def test_unpack(benchmark, method, codes, width):
    benchmark.group = f"unpacking of {width} bits"
    benchmark.extra_info["megabytes"] = COUNT / 1e6
    packed = pack_codes(codes, width)
    unpacked = benchmark.pedantic(UNPACK[method], (packed, width, codes), rounds=9, warmup_rounds=1)
    assert torch.equal(unpacked, codes)
