"""What tests of codecs that work in rows draw and compare."""

import copy
from collections.abc import Sequence

import torch
from hypothesis import strategies as st

from actbench.codec import Allowance, Codec, FeatureMap, Rows, length_bits, write_rows
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.rate_control import Ladder, Pooled, Rung, stream_allowance
from actbench.codec.rate_control.granules import granule_count


@st.composite
def stripe_heights(draw: st.DrawFn, height: int, rows: int) -> list[int]:
    """Heights of stripes, multiples of `rows` but for the last, that make `height` rows together."""
    cuts = [row for row in range(rows, height, rows) if draw(st.booleans())]
    return [end - start for start, end in zip([0, *cuts], [*cuts, height], strict=True)]


@st.composite
def ladders(draw: st.DrawFn, fmap: FeatureMap, rungs: Sequence[Rung], sample: torch.Tensor) -> Ladder:
    """Ladders of these rungs and the pooled map, with an allowance from one value a granule up to 4 bits a value."""
    allowed = 100 + 40 * fmap.channels * granule_count(fmap.height) + draw(st.integers(0, 4)) * fmap.elements
    room = Allowance(stream_allowance(allowed, len(rungs) + 1, fmap.height), (8, 2))
    return Ladder([*rungs, Pooled.fitting(fmap, sample, room)], allowed, fmap.height)


def assert_rows_give_the_whole(codec: Codec, x: torch.Tensor, heights: list[int]) -> None:
    """Stripes of these heights, from their bytes and in a codec that has seen no image, are the whole map to the
    bit."""
    assert isinstance(codec, Rows)
    whole = codec.encode(x)
    head, stripes, bits = write_rows(codec, x, heights)
    head, *unpacked = (unpack(pack(part), layout(part)) for part in (head, *stripes))
    untouched = copy.deepcopy(codec)
    decoded = torch.cat([untouched.decode_rows(stripe, head) for stripe in unpacked], 2)
    assert torch.equal(decoded, codec.decode(whole))
    assert torch.equal(bits, whole.bits_per_image() + length_bits(stripes) - length_bits([whole]))
    for name in head:
        assert torch.equal(head[name], whole[name])
