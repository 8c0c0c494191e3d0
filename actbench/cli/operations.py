"""What `actbench maps --bops` prints: multiply-accumulates and bit operations of a network, by layer and in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from actbench.budget import Bits
from actbench.cli.tables import new_table, print_whole, say
from actbench.feature_map import FLOAT_BITS

if TYPE_CHECKING:
    from actbench.harness.operations import LayerOperations

GIGA = 10**9


def describe_operations(
    layers: Sequence[LayerOperations], reference: Sequence[LayerOperations], bits: Bits
) -> dict[str, Any]:
    """The report of a network, beside the same network with all maps whole. `inner`: without the first layer and the
    last, which papers often leave in fp32 and out of their counts. Bit operations of fp32 are 32·32 a
    multiply-accumulate."""
    return {
        "bits": str(bits),
        "all": _sums(layers, reference),
        "inner": _sums(_inner(layers), _inner(reference)),
        "layers": [asdict(layer) for layer in layers],
    }


def _inner(layers: Sequence[LayerOperations]) -> list[LayerOperations]:
    computing = [layer for layer in layers if layer.macs]
    return [layer for layer in layers if layer not in (computing[0], computing[-1])]


def _sums(layers: Sequence[LayerOperations], reference: Sequence[LayerOperations]) -> dict[str, int]:
    return {
        "macs": sum(layer.macs for layer in layers),
        "bit_operations": sum(layer.bit_operations for layer in layers),
        "reference_macs": sum(layer.macs for layer in reference),
        "reference_pointwise_macs": sum(layer.macs for layer in reference if layer.pointwise),
        "fp32_bit_operations": FLOAT_BITS**2 * sum(layer.macs for layer in reference),
    }


def print_operations(report: dict[str, Any]) -> None:
    """Prints a report: a row for each layer, and the sums."""
    table = new_table()
    table.add_column("layer", no_wrap=True)
    for column in ("kernel", "groups", "MACs", "bit operations", "a MAC"):
        table.add_column(column, justify="right")
    for row in report["layers"]:
        kernel = "×".join(map(str, row["kernel"])) if row["kernel"] else ""
        each = f"{row['bit_operations'] / row['macs']:,.0f}" if row["macs"] else ""
        counts = (f"{row['macs']:,}", f"{row['bit_operations']:,}", each)
        table.add_row(escape(row["layer"]), kernel, str(row["groups"]) if kernel else "", *counts)
    print_whole(table)
    say("")
    say(_line("all layers", report["all"], report["bits"]))
    say(_line("without the first and the last", report["inner"], report["bits"]))


def _line(which: str, sums: dict[str, int], bits: str) -> str:
    macs, done, whole = sums["reference_macs"], sums["bit_operations"], sums["fp32_bit_operations"]
    share = 100 * sums["reference_pointwise_macs"] / macs if macs else 0.0
    computed = f", of which {sums['macs'] / GIGA:,.3f} G are computed" if sums["macs"] != macs else ""
    ratio = f", {whole / done:.1f}x less" if done else ""
    return (
        f"{which}: {macs / GIGA:,.3f} G multiply-accumulates, {share:.0f} % in 1×1 convolutions{computed}; "
        f"bit operations {whole / GIGA:,.1f} G in fp32, {done / GIGA:,.1f} G at {bits}{ratio}"
    )
