"""The feature maps of a deployed network as a table for those who build the memory that they are stored in."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from actbench.codec.codec import Codec
from actbench.network.conventions import live_bits_by_layer
from actbench.network.trace import TracedNetwork
from actbench.records.parts.footprint import Footprint

COLUMNS = {
    "map": "its name: the first layer that reads it",
    "channels": "C",
    "height": "H",
    "width": "W",
    "fp32_kib": "KiB of the map in fp32",
    "bits": "the most bits that an image's map takes, side information included",
    "kib": "the same in KiB",
    "side_bits": "of these bits side information, on average",
    "static_bits": "bits of tables that no image changes",
    "live_kib": "KiB of all that is in memory when the map has been written, the map included",
    "producer": "the layer that writes it",
    "readers": "the layers that read it",
    "codec": "the class that encodes and decodes it",
    "setting": "what was chosen for it",
    "written": "the number of the layer that has written it, from 1",
    "last_read": "the number of the last layer that computes while it is needed",
}
"""What stands in each column."""


def maps_table(network: TracedNetwork, codecs: Mapping[str, Codec], footprint: Footprint) -> str:
    """The table as CSV, a row for each map, in the order in which maps are written."""
    stored = {row.name: row.bits.maximum for row in footprint.maps}
    live = live_bits_by_layer(network, stored)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for fmap, row in zip(network.maps, footprint.maps, strict=True):
        writer.writerow(
            [
                *(fmap.name, fmap.channels, fmap.height, fmap.width),
                *(_kib(fmap.bits), row.bits.maximum, _kib(row.bits.maximum)),
                *(f"{row.side_bits:g}", row.static_bits, _kib(live[fmap.alive.written])),
                *(fmap.producer, " ".join(reader.name for reader in fmap.readers)),
                type(codecs[fmap.name]).__name__,
                " ".join(f"{name}={value}" for name, value in row.choices.items()),
                *(fmap.alive.written, fmap.alive.read),
            ]
        )
    return text.getvalue()


def _kib(bits: int) -> str:
    return f"{bits / 8192:.3f}"
