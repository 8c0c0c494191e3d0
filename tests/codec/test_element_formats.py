"""Element formats against ml_dtypes and torch, code for code, and integers against NumPy."""

import ml_dtypes
import numpy
import pytest
import torch
from torch import Tensor

from actbench.codec.element_formats import (
    FP4_E2M1,
    FP6_E2M3,
    FP6_E3M2,
    FP8_E4M3,
    FP8_E5M2,
    INT8,
    FloatFormat,
    IntegerFormat,
)

PEERS = {
    FP8_E4M3: ml_dtypes.float8_e4m3fn,
    FP8_E5M2: ml_dtypes.float8_e5m2,
    FP6_E3M2: ml_dtypes.float6_e3m2fn,
    FP6_E2M3: ml_dtypes.float6_e2m3fn,
    FP4_E2M1: ml_dtypes.float4_e2m1fn,
}
FLOATS = pytest.mark.parametrize("form", PEERS, ids=lambda form: form.name)


def values(form: FloatFormat) -> Tensor:
    """Of every magnitude, and all that lie halfway between two numbers of the format, and right beside these."""
    generator = torch.Generator().manual_seed(0)
    binades = torch.randint(-20, 18, (1 << 16,), generator=generator).float()
    drawn = torch.randn(1 << 16, generator=generator) * binades.exp2()
    numbers = form.decode(torch.arange(form.largest_code + 1))
    halfway = (numbers[1:] + numbers[:-1]) / 2
    beside = [torch.nextafter(halfway, halfway + 1), torch.nextafter(halfway, -halfway - 1)]
    every = torch.cat([drawn, numbers, halfway, *beside])
    return torch.cat([every, -every])


@FLOATS
def test_codes_are_those_of_ml_dtypes(form: FloatFormat) -> None:
    x = values(form)
    peer = x.clamp(-form.largest, form.largest).numpy().astype(PEERS[form])
    assert numpy.array_equal(form.encode(x).numpy(), peer.view(numpy.uint8))
    assert numpy.array_equal(form.decode(form.encode(x)).numpy(), peer.astype(numpy.float32))


@FLOATS
def test_every_code_stands_for_the_number_of_ml_dtypes(form: FloatFormat) -> None:
    codes = torch.arange(1 << form.bits)
    used = (codes & ((1 << (form.bits - 1)) - 1)) <= form.largest_code
    numbers = codes.numpy().astype(numpy.uint8).view(PEERS[form]).astype(numpy.float32)
    assert numpy.array_equal(form.decode(codes)[used].numpy(), numbers[used.numpy()])
    assert not numpy.isfinite(numbers[~used.numpy()]).any()
    assert form.largest == numbers[used.numpy()].max()
    assert 2.0**form.largest_exponent <= form.largest < 2.0 ** (form.largest_exponent + 1)


@pytest.mark.parametrize(
    ("form", "dtype"),
    [(FP8_E4M3, torch.float8_e4m3fn), (FP8_E5M2, torch.float8_e5m2)],
    ids=["fp8_e4m3", "fp8_e5m2"],
)
def test_codes_are_those_of_torch(form: FloatFormat, dtype: torch.dtype) -> None:
    x = values(form)
    peer = x.clamp(-form.largest, form.largest).to(dtype)
    assert torch.equal(form.encode(x).to(torch.uint8), peer.view(torch.uint8))
    assert torch.equal(form.decode(form.encode(x)), peer.float())


@pytest.mark.parametrize("form", [INT8, *map(IntegerFormat, range(2, 7))], ids=lambda form: form.name)
def test_signed_integers_are_multiples_of_a_step_below_two(form: IntegerFormat) -> None:
    x = torch.linspace(-3, 3, 4097)
    step = 2.0 ** (2 - form.bits)
    expected = numpy.clip(numpy.rint(x.numpy() / step), -(2 / step) + 1, 2 / step - 1)
    assert numpy.array_equal(form.encode(x).numpy(), expected)
    assert numpy.array_equal(form.decode(form.encode(x)).numpy(), expected * step)
    assert form.largest == 2 - step


def test_unsigned_integers_have_no_sign_and_half_the_step() -> None:
    form = IntegerFormat(3, signed=False)
    assert form.decode(torch.arange(8)).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
    assert form.encode(torch.tensor([-1.0, 0.1, 0.2, 1.7, 5.0])).tolist() == [0, 0, 1, 7, 7]
    assert (form.name, INT8.name) == ("uint3", "int8")
