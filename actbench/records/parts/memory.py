"""Memory: bytes at the peak of a run."""

from __future__ import annotations

from actbench.records.column import Column, kibibytes
from actbench.records.parts.part import Count, Part


class Memory(Part):
    """Peak bytes while one image passes through the deployed form, beside the fp32 network's."""

    peak_bytes: Count
    reserved_bytes: Count | None
    source: str
    reference_peak_bytes: Count


COLUMNS = (
    Column[Memory](
        "memory_bytes",
        "memory",
        "bytes in live tensors at the peak, while one image passes through the deployed form",
        lambda part: part.peak_bytes,
        kibibytes,
        better="less",
        repeats="exact",
    ),
)
