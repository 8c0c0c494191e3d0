"""Division of maps into stripes: how many rows at a time, and where each stripe ends."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import Literal, cast

from torch import fx

from actbench.codec.rows import ReadsRows
from actbench.network import nodes
from actbench.network.splice import Decode, Encode
from actbench.runtime.region import Program, Region
from actbench.runtime.shapes import TensorShape, Values, works_in_rows
from actbench.runtime.spans import Span

Stripe = int | Literal["auto", "off"]
"""Rows of a stripe; `auto` for as many as take a small part of the network's memory; `off` for whole maps."""

_BYTES = 4
_MOST = 8 << 20
_PART, _STORED_PART, _LEAST_PART = 5, 8, 16
"""What is in memory of a stripe takes at most `_MOST` bytes, and with the stored maps, taken as one part of so many of
what they are in fp32, one part of `_PART` of twice the largest tensor, which an fp32 network has in memory; but no less
than one part of `_LEAST_PART` of it."""

_REST_PART = 4
"""A last stripe of no more rows than one part of so many of the others' is computed with the one before it."""

Ends = list[int]
Sinks = Mapping[fx.Node, fx.Node]
"""What takes in rows, and of which target."""


class Striping:
    """Divides regions into stripes, one after the other: where the stripes of a map end that was written before is
    where it is best read."""

    def __init__(self, values: Values, stripe: Stripe) -> None:
        self._values = values
        self._stripe = stripe
        self._ends: dict[fx.Node, Ends] = {}

    def programs(self, region: Region, sinks: Sinks) -> tuple[Program, ...]:
        """The programs of a region's stripes, from the first rows to the last."""
        granules = {target: math.lcm(*self._granules(target, sinks)) for target in region.targets}
        driver = min(region.targets, key=self._height)
        ends = self._driver_ends(region, driver, granules, sinks)
        divided = {target: self._ends_of(target, driver, ends, granules[target]) for target in region.targets}
        for sink, target in sinks.items():
            if _encodes(sink) is not None:
                self._ends[sink] = [end for end in dict.fromkeys(divided[target]) if end]
        stripes = []
        for number in range(len(ends)):
            wanted = {t: Span(each[number - 1] if number else 0, each[number]) for t, each in divided.items()}
            stripes.append({target: rows for target, rows in wanted.items() if rows.height})
        return region.programs(stripes)

    def _driver_ends(self, region: Region, driver: fx.Node, granules: Mapping[fx.Node, int], sinks: Sinks) -> Ends:
        height = self._height(driver)
        # A granule of another target is so many rows of the driver's.
        least = max(
            granules[driver], *(-(-granule * height // self._height(target)) for target, granule in granules.items())
        )
        most = self._most_rows(region, driver, least, sinks)
        if most >= height:
            return [height]
        stops = self._stops(region, driver)
        ends, end = [], 0
        while end < height:
            wanted = min(end + most, height)
            end = self._aligned(region, stops, end, wanted) if wanted < height else height
            end = height if self._stripe == "auto" and least == 1 and height - end <= most // _REST_PART else end
            ends.append(end)
        return ends

    def _aligned(self, region: Region, stops: Ends, end: int, wanted: int) -> int:
        """The last row up to which everything can be read when a whole number of stripes of the first source is there,
        so that none of it is decoded too early."""
        source = self._first_stored(region)
        if source is None:
            return wanted
        for stop in reversed(self._ends[source.all_input_nodes[0]]):
            reached = bisect_right(stops, stop)
            if end < reached <= wanted:
                return reached
        return wanted

    def _stops(self, region: Region, driver: fx.Node) -> Ends:
        """For each row of the driver the end of what is read of the first source."""
        source = self._first_stored(region)
        if source is None:
            return []
        return [
            region.needs({driver: Span(row, row + 1)}).get(source, Span(0, 0)).stop
            for row in range(self._height(driver))
        ]

    def _first_stored(self, region: Region) -> fx.Node | None:
        decoders = filter(_is_decoder, region.sources)
        return next((node for node in decoders if works_in_rows(cast(Decode, nodes.module_of(node)))), None)

    def _most_rows(self, region: Region, driver: fx.Node, least: int, sinks: Sinks) -> int:
        height = self._height(driver)
        if self._stripe == "off":
            return height
        if self._stripe != "auto":
            return -(-self._stripe // least) * least
        steps = range(least, height + least, least)
        limit = self._limit(region, sinks)
        fitting = bisect_right(steps, limit, key=lambda rows: self._bytes(region, driver, sinks, min(rows, height)))
        rows = steps[max(0, fitting - 1)]
        count = math.ceil(height / rows)  # of stripes, which might as well be equally high
        return math.ceil(height / count / least) * least

    def _bytes(self, region: Region, driver: fx.Node, sinks: Sinks, rows: int) -> int:
        """The most fp32 bytes at one time of a stripe at the edge or in the middle of the map: while it is computed,
        and while it is read again, when it is there twice beside a part of another one."""
        height = self._height(driver)
        again = [3 * rows * self._height(target) // height * self._row_bytes(user) for user, target in _decoders(sinks)]
        peaks = [self._peak(region, Span(start, start + rows), height) for start in {0, max(0, (height - rows) // 2)}]
        return max(peaks + again)

    def _peak(self, region: Region, rows: Span, height: int) -> int:
        (program,) = region.programs([{t: _scaled(rows, self._height(t), height) for t in region.targets}])
        decoded = {node: self._decoded(node, rows) for node, rows in program.read.items() if _is_decoder(node)}
        read = {node: rows.height * self._row_bytes(node) for node, rows in decoded.items()}
        return program.peak(read, self._row_bytes)

    def _decoded(self, source: fx.Node, rows: Span) -> Span:
        """The rows that are there of a source when some of them are read: whole stripes are decoded."""
        ends = self._ends[source.all_input_nodes[0]]
        return Span(rows.start, next((end for end in ends if end >= rows.stop), rows.stop))

    def _limit(self, region: Region, sinks: Sinks) -> int:
        shapes = [shape for shape in self._values.values() if isinstance(shape, TensorShape) and len(shape) == 4]
        most = 2 * _BYTES * max(map(math.prod, shapes))
        maps = [*filter(_is_decoder, region.sources), *(decoder for decoder, _ in _decoders(sinks))]
        stored = sum(self._height(node) * self._row_bytes(node) for node in maps if len(self._values[node]) == 4)
        return min(_MOST, max(most // _PART - stored // _STORED_PART, most // _LEAST_PART))

    def _height(self, node: fx.Node) -> int:
        return int(self._values[node][2])

    def _row_bytes(self, node: fx.Node) -> int:
        shape = self._values[node]
        return _BYTES * math.prod(shape) // shape[2] if len(shape) == 4 else 0

    def _granules(self, target: fx.Node, sinks: Sinks) -> list[int]:
        encoders = [_encodes(sink) for sink, of in sinks.items() if of is target]
        return [cast(ReadsRows, each.codec).rows for each in encoders if each and works_in_rows(each)]

    def _ends_of(self, target: fx.Node, driver: fx.Node, ends: Ends, granule: int) -> Ends:
        height, whole = self._height(target), self._height(driver)
        return [height if end == whole else end * height // whole // granule * granule for end in ends]


def _scaled(rows: Span, height: int, of: int) -> Span:
    start = rows.start * height // of
    return Span(start, max(start + 1, rows.stop * height // of))


def _decoders(sinks: Sinks) -> list[tuple[fx.Node, fx.Node]]:
    """What decodes the maps that are written, and their targets."""
    users = ((user, target) for sink, target in sinks.items() for user in sink.users)
    return [(user, target) for user, target in users if _is_decoder(user)]


def _is_decoder(node: fx.Node) -> bool:
    return isinstance(nodes.module_of(node), Decode)


def _encodes(node: fx.Node) -> Encode | None:
    stage = nodes.module_of(node)
    return stage if isinstance(stage, Encode) else None
