"""All that a record says, section by section: what `actbench show` prints, and a record's page."""

from __future__ import annotations

from actbench.records.measurements import Measurements
from actbench.records.parts.memory import Memory
from actbench.records.parts.training import Training
from actbench.records.record import Record
from actbench.spec import WorkloadSpec
from actbench.text import some_of
from actbench.workloads.own.description import arguments_of


def _described(workload: WorkloadSpec) -> dict[str, object]:
    """What a user said of a network and images of his own."""
    if workload.own is None:
        return {}
    return {"described by": " ".join(arguments_of(workload.name, workload.own))}


def sections(record: Record) -> dict[str, dict[str, object]]:
    """What was asked for, what was measured, where, and what to beware of: values by their names, by titles."""
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
        rows["memory"] = peak_text(memory)
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


def peak_text(memory: Memory) -> str:
    """The peak in bytes, beside that of fp32, and what holds it."""
    said = f"{memory.peak_bytes:,} bytes, fp32 {memory.reference_peak_bytes:,} ({memory.source})"
    if step := memory.peak_step:
        said += f"; at its peak in {step.name}, {step.stored_bytes:,} of them stored maps"
    return said + (f"; whole maps for {some_of(memory.whole)}" if memory.whole else "")
