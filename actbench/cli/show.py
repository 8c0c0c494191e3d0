"""`actbench show`: one record, whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from actbench.cli.listing import AsJson
from actbench.cli.tables import new_table, print_whole, say, some_of
from actbench.errors import UserError
from actbench.records.store import read_record
from actbench.workloads.own.description import arguments_of

if TYPE_CHECKING:
    from actbench.records.measurements import Measurements
    from actbench.records.parts.memory import Memory
    from actbench.records.parts.training import Training
    from actbench.records.record import Record
    from actbench.spec import WorkloadSpec

_BAR = 40
"""Characters of a bar as long as the larger peak."""


def show(
    records: Annotated[list[Path], typer.Argument(help="Files of records.", metavar="RECORD...")],
    memory: Annotated[bool, typer.Option("--memory", help="Only its memory, step by step.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show records: what was run, what came out, map by map, and where."""
    loaded = {path: read_record(path) for path in records}
    if as_json:
        forms = [record.model_dump(mode="json", context={"plain": True}) for record in loaded.values()]
        print(json.dumps(forms if len(forms) > 1 else forms[0], indent=1))
    elif memory:
        for path, record in loaded.items():
            _show_memory(path, record.measurements.memory)
    else:
        from actbench.cli.results import print_table

        print_table(list(loaded.values()))
        for record in loaded.values():
            if len(loaded) > 1:
                _say_title(f"{record.cell.method.name} {record.cell.budget}, {record.file_name}")
            _show(record)


def _show(loaded: Record) -> None:
    for title, values in _sections(loaded).items():
        _say_title(title)
        for name, value in values.items():
            _say_value(name, str(value))
    if loaded.measurements.footprint:
        _say_title("feature maps")
        print_whole(_maps(loaded.measurements))
    if training := loaded.measurements.training:
        _say_title("kept for backward")
        print_whole(_savers(training))
        _say_title("gradients on a fixed batch")
        print_whole(_gradients(training))


def _show_memory(path: Path, memory: Memory | None) -> None:
    if memory is None or memory.timeline is None:
        raise UserError(f"{path} has no timeline of memory: run the cell again")
    table = new_table()
    table.add_column("step")
    for column in ("stored KiB", "peak KiB", "of fp32"):
        table.add_column(column, justify="right")
    table.add_column("")
    most = max(memory.peak_bytes, memory.reference_peak_bytes, 1)
    for step in memory.timeline:
        stored, working = (round(_BAR * size / most) for size in (step.stored_bytes, step.peak_bytes))
        sizes = (f"{size / 1024:,.1f}" for size in (step.stored_bytes, step.peak_bytes))
        share = f"{step.peak_bytes / max(1, memory.reference_peak_bytes):.2f}"
        table.add_row(escape(step.name), *sizes, share, "█" * stored + "░" * max(0, working - stored))
    print_whole(table)
    say(_peak(memory) + "; █ stored when the step begins, ░ its most live bytes")


def _peak(memory: Memory) -> str:
    said = f"{memory.peak_bytes:,} bytes, fp32 {memory.reference_peak_bytes:,} ({memory.source})"
    if step := memory.peak_step:
        said += f"; at its peak in {step.name}, {step.stored_bytes:,} of them stored maps"
    return said + (f"; whole maps for {some_of(memory.whole)}" if memory.whole else "")


def _say_title(title: str) -> None:
    say("")
    say(title, "bold")


def _say_value(name: str, value: str) -> None:
    """A value of several lines, such as the last words of a worker, is shown in as many."""
    first, *others = value.splitlines() or [""]
    say(f"  {name}: {first}")
    for line in others:
        say(f"      {line}")


def _described(workload: WorkloadSpec) -> dict[str, object]:
    """What a user said of a network and images of his own."""
    if workload.own is None:
        return {}
    return {"described by": " ".join(arguments_of(workload.name, workload.own))}


def _sections(record: Record) -> dict[str, dict[str, object]]:
    cell = record.cell
    options = ", ".join(f"{name}={value}" for name, value in cell.method.options.items())
    sections: dict[str, dict[str, object]] = {
        "cell": {
            "key": f"{record.key}, attempt {record.attempt}",
            "workload": f"{cell.workload.name}, {cell.workload.limit or 'all'} images",
            **_described(cell.workload),
            **{f"digest of {name}": value for name, value in cell.workload.digests.items()},
            "method": f"{cell.method.name} version {cell.method.version}" + (f" ({options})" if options else ""),
            "settings": cell.settings.title,
            "seed, device, protocol": f"{cell.seed}, {cell.device}, {cell.protocol}",
            "status": record.status + (f": {record.reason}" if record.reason else ""),
            "started": f"{record.started}, took {record.seconds:.1f} s",
        }
    }
    if measured := _measured(record.measurements):
        sections["measurements"] = measured
    if record.environment:
        environment = record.environment
        sections["environment"] = {
            **environment.versions,
            **environment.machine,
            "revision": environment.revision,
            "plugin": environment.plugin or "not kept",
        }
    if record.warnings:
        sections["warnings"] = {str(number): text for number, text in enumerate(record.warnings, 1)}
    return sections


def _measured(measured: Measurements) -> dict[str, object]:
    rows: dict[str, object] = {}
    if footprint := measured.footprint:
        live, activations = footprint.live, footprint.activations
        limit = f"{footprint.limit:,} allowed" if footprint.limit is not None else "no ceiling"
        rows["peak"] = f"{footprint.peak.maximum:,} bits of {footprint.reference_peak:,} ({limit})"
        rows["traffic"] = f"{footprint.traffic.maximum:,} bits of {footprint.reference_traffic:,}"
        rows["live"] = f"{live.peak:,} bits of {live.reference_peak:,}"
        rows["side information, static tables"] = f"{footprint.side_bits:,.0f}, {footprint.static_bits:,} bits"
        rows["all activations"] = f"{activations.traffic:,} bits of {activations.reference_traffic:,}"
    if quality := measured.quality:
        low, high = quality.difference_interval
        rows["difference to the network without compression"] = (
            f"{quality.difference:+.3f} [{low:+.3f}, {high:+.3f}] on {quality.images:,} images"
        )
    if compute := measured.compute:
        rows["MACs"] = (
            f"{compute.macs:,} deployed, {compute.macs_unfolded:,} unfolded, {compute.reference_macs:,} in fp32"
        )
        rows["bit operations"] = f"{compute.bit_operations:,} of {compute.reference_bit_operations:,}"
    if parameters := measured.parameters:
        rows["parameters"] = f"{parameters.original:,} + {parameters.added:,}, {parameters.deployed:,} deployed"
    if measured.network:
        rows["traced by"] = f"torch.{measured.network.way}"
    if integer := measured.integer:
        engine = integer.engine or "no kernels for it on this processor"
        rows["convolutions in int8"] = f"{len(integer.layers)} ({engine}): {', '.join(integer.layers) or 'none'}"
        rows |= {f"  {name} in fp32": reason for name, reason in integer.others.items()}
    if latency := measured.latency:
        ours, theirs = 1e3 * latency.subject.median, 1e3 * latency.baseline.median
        low, high = latency.ratio_quartiles
        rows["latency"] = (
            f"{ours:.2f} ms, fp32 {theirs:.2f} ms: {latency.ratio:.2f}x [{low:.2f}, {high:.2f}], batch {latency.batch}"
        )
        stages = {"encode": latency.encode, "decode": latency.decode, "layers": latency.layers}
        known = {name: seconds for name, seconds in stages.items() if seconds is not None}
        rows[", ".join(known)] = ", ".join(f"{1e3 * seconds:.2f}" for seconds in known.values()) + " ms"
        if latency.single and latency.first_call:
            rows["latency, batch 1"] = (
                f"{1e3 * latency.single.subject.median:.2f} ms: {latency.single.ratio:.2f}x, "
                f"first call {1e3 * latency.first_call:.2f} ms"
            )
        if compiled := latency.compiled:
            rows["compiled, batch 1"] = (
                f"{1e3 * compiled.single.subject.median:.2f} ms: {compiled.single.ratio:.2f}x of fp32 compiled, "
                f"{compiled.eager.ratio:.2f}x of fp32; {compiled.compiled} of {compiled.units} units compiled, "
                f"first call {compiled.first_call:.1f} s"
            )
    if memory := measured.memory:
        rows["memory"] = _peak(memory)
    if predicted := measured.predicted_memory:
        rows["on a GPU, predicted"] = (
            f"{predicted.allocated_bytes:,} bytes allocated, {predicted.reserved_bytes:,} reserved, "
            f"batch {predicted.batch}"
        )
        fitting = (f"{images:,} in {memory}" for memory, images in predicted.largest_batch.items())
        rows["largest batch, predicted"] = ", ".join(fitting)
    if training := measured.training:
        rows |= _trained(training)
    return rows


def _trained(training: Training) -> dict[str, object]:
    low, high = training.step.ratio_quartiles
    return {
        "trained convolutions": f"{len(training.layers)}: {', '.join(training.layers)}",
        "saved for backward": f"{training.saved_bytes:,} of {training.reference_saved_bytes:,} bytes, "
        f"batch {training.batch}",
        "payloads": "none"
        if training.payload_bytes is None
        else f"{training.payload_bytes:,} of {training.reference_payload_bytes:,} bytes",
        "peak of a step": f"{training.peak_bytes:,}, uncompressed {training.reference_peak_bytes:,} bytes",
        "largest batch": f"{training.largest_batch} images in the peak that {training.batch} need uncompressed",
        "step": f"{1e3 * training.step.subject.median:.1f} ms, uncompressed "
        f"{1e3 * training.step.baseline.median:.1f} ms: {training.step.ratio:.2f}x [{low:.2f}, {high:.2f}]",
        **_shares(training),
    }


def _shares(training: Training) -> dict[str, object]:
    if training.encode_seconds is None or training.gradient_seconds is None:
        return {}
    encode, gradient = 1e3 * training.encode_seconds, 1e3 * training.gradient_seconds
    return {"of a step": f"encoding {encode:.1f} ms, gradients of weights from what was saved {gradient:.1f} ms"}


def _gradients(training: Training) -> Table:
    table = new_table()
    table.add_column("gradient of")
    table.add_column("cosine", justify="right")
    table.add_column("relative error", justify="right")
    for gradient in training.gradients:
        table.add_row(escape(gradient.name), f"{gradient.cosine:.5f}", f"{gradient.relative_error:.4f}")
    return table


def _savers(training: Training) -> Table:
    table = new_table()
    table.add_column("saved by")
    table.add_column("bytes", justify="right")
    for name, size in sorted(training.saved_by_module.items(), key=lambda item: -item[1]):
        table.add_row(escape(name or "the network itself"), f"{size:,}")
    return table


def _maps(measured: Measurements) -> Table:
    assert measured.footprint is not None
    table = new_table()
    table.add_column("map (first reader)")
    for column in ("C", "H", "W", "stored bits", "bits/value", "side", "static"):
        table.add_column(column, justify="right")
    table.add_column("choices")
    for row in measured.footprint.maps:
        choices = ", ".join(f"{name} {value}" for name, value in row.choices.items())
        bits = (
            f"{row.bits.maximum:,}",
            f"{row.bits.mean / row.elements:.2f}",
            f"{row.side_bits:,.0f}",
            f"{row.static_bits:,}",
        )
        sizes = map(str, (row.channels, row.height, row.width))
        table.add_row(escape(row.name), *sizes, *bits, escape(choices))
    return table
