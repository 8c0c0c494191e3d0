"""Spans of rows, and which rows of its input a sliding window needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Span(NamedTuple):
    """Rows from `start` on, up to but without `stop`."""

    start: int
    stop: int

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.stop - self.start

    def hull(self, other: Span | None) -> Span:
        """The least span that holds both; this one where there is no other."""
        return self if other is None else Span(min(self.start, other.start), max(self.stop, other.stop))

    def within(self, base: Span) -> slice:
        """Where these rows are in a tensor that holds the rows `base`."""
        return slice(self.start - base.start, self.stop - base.start)


@dataclass(frozen=True)
class Sliding:
    """A window over the rows of a map of `height` rows: of a convolution, or of pooling. Output row o reads the rows
    `o·stride − padding + i·dilation` for i = 0 … kernel − 1."""

    height: int
    kernel: int
    stride: int
    padding: int
    dilation: int

    def reach(self, rows: Span) -> Span:
        """The rows that some rows of the output read, those outside the map included."""
        first = rows.start * self.stride - self.padding
        last = (rows.stop - 1) * self.stride - self.padding + self.dilation * (self.kernel - 1)
        return Span(first, last + 1)

    def needs(self, rows: Span) -> Span:
        """The rows of the map among them, one at least."""
        start, stop = self.reach(rows)
        start = min(max(start, 0), self.height - 1)
        return Span(start, max(min(stop, self.height), start + 1))

    def outside(self, rows: Span) -> tuple[int, int]:
        """How many rows have to be padded above and below what `needs` gives."""
        reach, needs = self.reach(rows), self.needs(rows)
        return needs.start - reach.start, reach.stop - needs.stop
