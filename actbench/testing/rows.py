"""Check of codecs that work in rows."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from actbench.codec.codec import Codec
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.rows import Rows, length_bits, write_rows
from actbench.testing.check import Skipped, expect
from actbench.testing.form import cases
from actbench.testing.subject import Case, Subject

_ROUNDING = 1e-5
"""Of the largest value."""


def rows(subject: Subject) -> None:
    """A codec that offers `Rows`, or what remains of it when its ends are folded, stores a map in stripes of rows as it
    stores the whole map: from packed bytes they decode to the same values, but for the rounding of sums, and together
    they take the same bits, but for the lengths of their strings."""
    checked = [_check(name, codec, x) for case in cases(subject) for name, codec, x in _codecs(case)]
    if not any(checked):
        raise Skipped("no codec offers Rows")


def _codecs(case: Case) -> Iterator[tuple[str, Codec, Tensor]]:
    """Yields the codec and its folded core, each with what it gets to encode."""
    yield case.name, case.codec, case.x
    folded = case.codec.fold()
    if folded is not None:
        yield f"the core of {case.name}", folded.core, folded.project(case.x) if folded.project else case.x


def _check(name: str, codec: Codec, x: Tensor) -> bool:
    """Compares stripes of several heights with the whole map; False where the codec offers no rows."""
    if not isinstance(codec, Rows):
        return False
    whole = codec.encode(x)
    expected, bits = codec.decode(whole), whole.bits_per_image()
    for heights in _heights(x.shape[2], codec.rows):
        head, stripes, stored = write_rows(codec, x, heights)
        head, *stripes = (unpack(pack(part), layout(part), x.device) for part in (head, *stripes))
        decoded = torch.cat([codec.decode_rows(stripe, head) for stripe in stripes], 2)
        what = f"{name} in stripes of {', '.join(map(str, heights))} rows"
        expect(_same(decoded, expected), f"{what} decodes to other values")
        wanted = bits + length_bits(stripes) - length_bits([whole])
        expect(torch.equal(stored, wanted), f"{what} takes {stored.tolist()} bits, not {wanted.tolist()}")
    return True


def _same(decoded: Tensor, expected: Tensor) -> bool:
    """Whether values are equal but for what a sum rounds otherwise in other sizes: less than a step of 16 bits."""
    if decoded.shape != expected.shape:
        return False
    return bool((decoded - expected).abs().max() <= _ROUNDING * expected.abs().max())


def _heights(height: int, step: int) -> list[list[int]]:
    """Makes the heights of stripes: as low as can be, twice that, one for all, and rising."""
    starts = [list(range(0, height, size)) for size in (step, 2 * step, height)]
    rising = (step * number * (number + 1) // 2 for number in range(height))
    starts.append([start for start in rising if start < height])
    return [[end - start for start, end in zip(each, [*each[1:], height], strict=True)] for each in starts]
