"""Compute: operations and parameters."""

from __future__ import annotations

from actbench.records.column import Column, scaled
from actbench.records.parts.part import Count, Part


class Compute(Part):
    """Multiply-accumulates and bit operations of one image, in the deployed form and before folding."""

    macs: Count
    macs_unfolded: Count
    reference_macs: Count
    bit_operations: Count
    reference_bit_operations: Count


class Parameters(Part):
    """Numbers of parameters: of the original, added by codecs, and in the deployed form."""

    original: Count
    added: Count
    deployed: Count


COLUMNS = (
    Column[Compute](
        "macs",
        "MACs",
        "multiply-accumulates of an image, in the deployed form",
        lambda part: part.macs,
        scaled,
        better="less",
        repeats="exact",
    ),
    Column[Compute](
        "bit_operations",
        "BOPs",
        "bit operations of an image, in the deployed form",
        lambda part: part.bit_operations,
        scaled,
        better="less",
        repeats="exact",
    ),
)
PARAMETER_COLUMNS = (
    Column[Parameters](
        "parameters", "parameters", "of the deployed form", lambda part: part.deployed, scaled, better="less"
    ),
)
