"""Writing maps in stripes of rows: plainly, in attempts, and collected."""

from collections.abc import Sequence
from itertools import chain

import torch
from hypothesis import given
from hypothesis import strategies as st

from actbench.codec import (
    NO_HEAD,
    Attempts,
    Collects,
    Payload,
    PlainCodec,
    Rows,
    UniformQuantizer,
    length_bits,
    unsigned,
    write_rows,
)
from actbench.codec.payload import LENGTH_BITS
from tests.codec.stripes import assert_rows_give_the_whole, stripe_heights


class Halved:
    """Writes whole numbers, an image's divided by two until all of them fit into `most` bits; a number is so many ones
    and a zero."""

    def __init__(self, most: int) -> None:
        self.most = most

    def first_head(self, batch: int) -> Payload:
        return Payload(halvings=unsigned(torch.zeros(batch, 1, dtype=torch.int64), 3, side=True))

    def next_head(self, head: Payload, bits: torch.Tensor) -> Payload | None:
        over = bits > self.most
        return Payload(halvings=unsigned(head["halvings"] + over[:, None], 3, side=True)) if over.any() else None

    def encode_rows(self, x: torch.Tensor, head: Payload) -> Payload:
        numbers = x.flatten(1).long() >> head["halvings"]
        strings = [[bit for number in image for bit in [1] * number + [0]] for image in numbers.tolist()]
        lengths = torch.tensor([len(string) for string in strings])
        return Payload(ones=unsigned(torch.tensor(list(chain(*strings))), 1, lengths=lengths))


class Gathered(Halved):
    """The same numbers, which it keeps until the map's end."""

    rows = 1

    def decode_rows(self, stripe: Payload, head: Payload) -> torch.Tensor:
        raise NotImplementedError

    def collector(self, batch: int) -> "Gathered":
        self.parts: list[torch.Tensor] = []
        return self

    def add(self, x: torch.Tensor) -> None:
        self.parts.append(x)

    def finish(self) -> Sequence[Payload]:
        return [self.encode_rows(part, self.first_head(len(part))) for part in self.parts]


def test_attempts_follow_until_one_stands() -> None:
    """Images of 1, 4 and 15 in each of 6 positions: 12, 30 and 96 bits; halved once 18 and 48, twice 24, thrice 12."""
    x = torch.tensor([1.0, 4.0, 15.0]).view(3, 1, 1, 1).expand(3, 1, 3, 2)
    codec = Halved(20)
    assert isinstance(codec, Attempts)
    head, stripes, bits = write_rows(codec, x, [2, 1])
    assert head["halvings"].tolist() == [[0], [1], [3]]
    assert [stripe.lengths("ones").tolist() for stripe in stripes] == [[8, 12, 8], [4, 6, 4]]
    assert length_bits(stripes) == 2 * LENGTH_BITS
    assert bits.tolist() == [3 + 2 * LENGTH_BITS + ones for ones in (12, 18, 12)]


def test_what_is_collected_has_no_head() -> None:
    x = torch.full((2, 1, 3, 2), 4.0)
    codec = Gathered(20)
    assert isinstance(codec, Collects)
    head, stripes, bits = write_rows(codec, x, [2, 1])
    assert head is NO_HEAD
    assert [stripe.lengths("ones").tolist() for stripe in stripes] == [[20, 20], [10, 10]]
    assert bits.tolist() == [30 + 2 * LENGTH_BITS] * 2


@given(st.data())
def test_plain_codes_in_stripes_are_those_of_the_map(data: st.DataObject) -> None:
    height = data.draw(st.integers(1, 9))
    x = torch.randn(2, 3, height, 5)
    codec = PlainCodec(data.draw(st.sampled_from([None, UniformQuantizer(4, -2.0, 2.0)])))
    assert isinstance(codec, Rows)
    assert length_bits([codec.encode(x)]) == 0
    with torch.no_grad():
        assert_rows_give_the_whole(codec, x, data.draw(stripe_heights(height, codec.rows)))
