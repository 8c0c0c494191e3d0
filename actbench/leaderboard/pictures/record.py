"""Pictures of one record: what is stored of each map, and what is in memory step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from actbench.feature_map import FLOAT_BITS
from actbench.leaderboard.pictures.drawing import Drawing, Label, Line, Part, fitting, rectangle
from actbench.leaderboard.pictures.scales import Scale, tick_text
from actbench.records.measurements import Measurements
from actbench.records.parts.memory import Memory

_LINE, _TOP, _FOOT, _NAMES, _VALUES = 15.0, 24.0, 30.0, 150.0, 110.0
_KIBIBYTE = 1024.0


def footprint_of(measured: Measurements, width: float = 720.0) -> Drawing | None:
    """Of each map the KiB that are stored (dark) beside those in fp32 (light), the worst image; None without maps."""
    if measured.footprint is None:
        return None
    maps = measured.footprint.maps
    stored = [one.bits.maximum / 8 / _KIBIBYTE for one in maps]
    whole = [FLOAT_BITS * one.elements / 8 / _KIBIBYTE for one in maps]
    title = "KiB of each map: stored, of fp32"
    return _bars([one.name for one in maps], stored, whole, title, width, None)


def memory_of(memory: Memory | None, width: float = 720.0) -> Drawing | None:
    """Step by step the KiB of stored maps (dark) in those of live tensors (light), and the peak of fp32 as a line; None
    without a timeline."""
    if memory is None or not memory.timeline:
        return None
    stored = [step.stored_bytes / _KIBIBYTE for step in memory.timeline]
    peaks = [step.peak_bytes / _KIBIBYTE for step in memory.timeline]
    title = "KiB in memory, step by step: stored maps, of all live tensors; the line is fp32's peak"
    names = [step.name for step in memory.timeline]
    return _bars(names, stored, peaks, title, width, memory.reference_peak_bytes / _KIBIBYTE)


def _bars(
    names: Sequence[str], inner: Sequence[float], outer: Sequence[float], title: str, width: float, line: float | None
) -> Drawing:
    most = max([*outer, line or 0.0, 1e-9])
    scale, bottom = Scale(0.0, most, _NAMES, width - _VALUES), _TOP + _LINE * len(names)
    parts = [Label((0, 12), title, "soft"), *_ticks(scale, bottom)]
    for place, (name, part, whole) in enumerate(zip(names, inner, outer, strict=True)):
        parts += _bar(name, part, whole, _TOP + _LINE * place, scale, width)
    if line is not None:
        parts.append(Line(((scale.place(line), _TOP), (scale.place(line), bottom)), "ink"))
    return Drawing(width, bottom + _FOOT, tuple(parts), title)


def _ticks(scale: Scale, bottom: float) -> Iterator[Part]:
    for tick in scale.ticks():
        x = scale.place(tick)
        yield Line(((x, _TOP), (x, bottom)), "line")
        yield Label((x, bottom + 13), tick_text(tick), "soft", 10, "middle")


def _bar(name: str, inner: float, outer: float, top: float, scale: Scale, width: float) -> Iterator[Part]:
    yield Label((_NAMES - 8, top + 11), fitting(name, _NAMES - 8, 10), size=10, anchor="end")
    yield rectangle(scale.first, top + 2, scale.place(outer) - scale.first, _LINE - 4, "front")
    yield rectangle(scale.first, top + 4, scale.place(inner) - scale.first, _LINE - 8, "accent")
    yield Label((width, top + 11), f"{inner:,.1f} of {outer:,.1f}", size=10, anchor="end")
