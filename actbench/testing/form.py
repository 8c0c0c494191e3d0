"""Checks of what comes out: shapes, types, layouts, numbers."""

from __future__ import annotations

import json

import torch
from torch import Tensor

from actbench.codec.protocols import Gradual
from actbench.testing.check import Skipped, expect
from actbench.testing.subject import Case, Subject

_LARGE = 1e4
_LITTLE = 0.05
"""Of the norm."""

_DIFFERENT = 0.02
"""The share of values that may be coded otherwise where sums round otherwise."""


def shapes(subject: Subject) -> None:
    """`decode(encode(x))` has the shape of the map, for one image and for several, one channel, odd sizes."""
    for case in _cases(subject):
        for count in (1, 3, len(case.x)):
            decoded = case.codec(case.x[:count])
            wanted = decoded_shape(case, count)
            expect(
                tuple(decoded.shape) == wanted, f"{case.name}: decode gave {tuple(decoded.shape)}, expected {wanted}"
            )


def empty_batch(subject: Subject) -> None:
    """A batch without images gives a payload without images, and decodes to no images."""
    for case in _cases(subject, whole_batches=False):
        codec = case.codec
        payload = codec.encode(case.x[:0])
        expect(payload.batch == 0, f"{case.name}: the payload of no images is of {payload.batch}")
        decoded, wanted = codec.decode(payload), decoded_shape(case, 0)
        expect(tuple(decoded.shape) == wanted, f"{case.name}: no images decode to {tuple(decoded.shape)}, not {wanted}")


def layouts(subject: Subject) -> None:
    """The same values in channels-last memory, or in a view that is not contiguous, decode to the same values."""
    for case in _cases(subject):
        torch.manual_seed(0)
        expected = case.codec(case.x)
        for what, x in (
            ("channels-last", case.x.contiguous(memory_format=torch.channels_last)),
            ("a view that is not contiguous", torch.cat([case.x, -case.x], 1)[:, : case.x.shape[1]]),
        ):
            torch.manual_seed(0)
            expect(alike(case.codec(x), expected), f"{case.name}: {what} input decodes to other values")


def half_precision(subject: Subject) -> None:
    """Moved to bfloat16 and float16, a codec encodes inputs of these, and decodes to finite floating-point values of
    the map's shape."""
    for case in _cases(subject):
        for dtype in (torch.bfloat16, torch.float16):
            decoded = case.codec.to(dtype)(case.x.to(dtype))
            expect(decoded.is_floating_point(), f"{case.name}: {dtype} decodes to {decoded.dtype}")
            wanted = decoded_shape(case, len(case.x))
            right = bool(torch.isfinite(decoded).all()) and tuple(decoded.shape) == wanted
            expect(right, f"{case.name}: {dtype} decodes to what is not finite, or of another shape")


def finite_output(subject: Subject) -> None:
    """Zeros, constants, tiny and large values decode to finite values: no division by a range of nothing."""
    for case in _cases(subject):
        zeros = torch.zeros_like(case.x)
        for what, x in (
            ("zeros", zeros),
            ("a constant", zeros + 3),
            ("tiny values", 1e-30 * case.x),
            ("large values", _LARGE * case.x),
            ("images", case.x),
        ):
            expect(bool(torch.isfinite(case.codec(x)).all()), f"{case.name}: {what} decode to what is not finite")


def description(subject: Subject) -> None:
    """`describe` is plain values for the record, `static_bits` and `operations` are whole numbers from 0 on,
    `fallbacks` is nothing or a truth for each image, and where there is an `approach(1)` it leaves the codec as it was
    planned."""
    for case in _cases(subject):
        codec, shape = case.codec, (case.x.shape[1], case.x.shape[2], case.x.shape[3])
        described = codec.describe()
        plain = all(isinstance(value, bool | int | float | str) for value in described.values())
        expect(plain, f"{case.name}: describe() has values that are not plain: {described}")
        json.dumps(described, allow_nan=False)
        for what, count in (("static_bits()", codec.static_bits()), ("operations()", codec.operations(shape))):
            whole = isinstance(count, int) and count >= 0
            expect(whole, f"{case.name}: {what} is {count!r}, not a whole number from 0 on")
        payload = codec.encode(case.x)
        fallen = codec.fallbacks(payload)
        expect(fallen is None or fallen.shape == (payload.batch,), f"{case.name}: fallbacks() is not one an image")
        expect(_stays_as_planned(case), f"{case.name}: approach(1) changes the codec")


def _stays_as_planned(case: Case) -> bool:
    """Whether a codec that has come all the way decodes as the planned one; one that is not gradual does."""
    approached = case.codec
    if not isinstance(approached, Gradual):
        return True
    approached.approach(1.0)
    decoded = []
    for codec in (approached, case.codec):
        torch.manual_seed(0)
        decoded.append(codec(case.x))
    return alike(*decoded)


def decoded_shape(case: Case, count: int) -> tuple[int, ...]:
    """Shape (count, C, H, W) to which the codec decodes: the source's, or the map's where it stands behind pooling."""
    height, width = (
        (case.x.shape[2], case.x.shape[3]) if case.codec.side == "before" else (case.fmap.height, case.fmap.width)
    )
    return count, case.fmap.channels, height, width


def alike(decoded: Tensor, expected: Tensor) -> bool:
    """Whether tensors are equal but for rounding, which may move a code here or there: few values differ, or all
    slightly."""
    if decoded.shape != expected.shape:
        return False
    if float((decoded.double() - expected.double()).norm()) <= _LITTLE * float(expected.double().norm()):
        return True
    close = torch.isclose(decoded.float(), expected.float(), rtol=1e-3, atol=1e-4, equal_nan=True)
    return close.numel() == 0 or float((~close).float().mean()) <= _DIFFERENT


def _cases(subject: Subject, *, whole_batches: bool = True) -> list[Case]:
    if subject.saves and not whole_batches:
        raise Skipped("what training saves is encoded a whole batch at a time")
    return cases(subject)


def cases(subject: Subject) -> list[Case]:
    """Makes the cases of every map under every budget. Raises Skipped where the method makes no codecs at all."""
    made = subject.cases()
    if not made:
        raise Skipped("the method makes no codecs for these budgets; see check 2")
    return made
