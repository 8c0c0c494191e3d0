"""Exports what a method's author reads: codecs, methods, payloads, and what they are made of. It loads torch."""

from actbench.budget import Allowance, Budget
from actbench.codec.codec import Codec, Folded
from actbench.codec.linear_fit import fit_decoder
from actbench.codec.method import Method, Network, Plan, plan_each_map
from actbench.codec.payload import Field, Payload, floating, signed, unsigned
from actbench.codec.plain import PlainCodec
from actbench.codec.protocols import (
    Clipped,
    Gradual,
    Linear,
    Penalised,
    Priced,
    ReadsStored,
    TrainingCodec,
    TrainingForm,
)
from actbench.codec.quantizers import UniformQuantizer
from actbench.codec.reader_error import reader_error
from actbench.codec.rows import (
    NO_HEAD,
    Attempts,
    Collector,
    Collects,
    ReadsRows,
    RowCodec,
    Rows,
    length_bits,
    write_rows,
)
from actbench.codec.statistics import MapStatistics, SideStatistics
from actbench.codec.straight_through import StraightThroughCodec
from actbench.errors import InvalidCodec, Unsupported
from actbench.feature_map import FeatureMap

__all__ = [
    "NO_HEAD",
    "Allowance",
    "Attempts",
    "Budget",
    "Clipped",
    "Codec",
    "Collector",
    "Collects",
    "FeatureMap",
    "Field",
    "Folded",
    "Gradual",
    "InvalidCodec",
    "Linear",
    "MapStatistics",
    "Method",
    "Network",
    "Payload",
    "Penalised",
    "PlainCodec",
    "Plan",
    "Priced",
    "ReadsRows",
    "ReadsStored",
    "RowCodec",
    "Rows",
    "SideStatistics",
    "StraightThroughCodec",
    "TrainingCodec",
    "TrainingForm",
    "UniformQuantizer",
    "Unsupported",
    "fit_decoder",
    "floating",
    "length_bits",
    "plan_each_map",
    "reader_error",
    "signed",
    "unsigned",
    "write_rows",
]
