"""Exports what a method's author reads: codecs, methods, payloads, and what they are made of. It loads torch."""

from actbench.budget import Allowance, Budget
from actbench.codec.codec import Codec, Folded
from actbench.codec.method import Method, Network, Plan, plan_each_map
from actbench.codec.payload import Field, Payload, floating, signed, unsigned
from actbench.codec.plain import PlainCodec
from actbench.codec.protocols import Gradual, Observable, ReadsStored, TrainingCodec, TrainingForm
from actbench.codec.quantizers import UniformQuantizer
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
from actbench.errors import InvalidCodec, Unsupported
from actbench.feature_map import FeatureMap

__all__ = [
    "NO_HEAD",
    "Allowance",
    "Attempts",
    "Budget",
    "Codec",
    "Collector",
    "Collects",
    "FeatureMap",
    "Field",
    "Folded",
    "Gradual",
    "InvalidCodec",
    "MapStatistics",
    "Method",
    "Network",
    "Observable",
    "Payload",
    "PlainCodec",
    "Plan",
    "ReadsRows",
    "ReadsStored",
    "RowCodec",
    "Rows",
    "SideStatistics",
    "TrainingCodec",
    "TrainingForm",
    "UniformQuantizer",
    "Unsupported",
    "floating",
    "length_bits",
    "plan_each_map",
    "signed",
    "unsigned",
    "write_rows",
]
