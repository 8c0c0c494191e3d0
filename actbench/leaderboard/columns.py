"""What tables show of a row, as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actbench.leaderboard.board import Row
from actbench.leaderboard.flat import flat
from actbench.records.verification import Verification


@dataclass(frozen=True)
class Column:
    """A heading and what stands below it; `number` is what it is sorted by, `text` what is shown."""

    title: str
    text: Callable[[dict[str, Any]], str]
    number: Callable[[dict[str, Any]], float | None] | None = None


def _plain(name: str, form: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: "–" if row[name] is None else format(row[name], form)


def _interval(name: str, form: str) -> Callable[[dict[str, Any]], str]:
    def text(row: dict[str, Any]) -> str:
        if row[name] is None:
            return "–"
        return f"{format(row[name], form)} ± {(row[f'{name}_high'] - row[f'{name}_low']) / 2:.2f}"

    return text


def _numeric(title: str, name: str, form: str, suffix: str = "") -> Column:
    plain = _plain(name, form)
    return Column(title, lambda row: plain(row) + (suffix if row[name] is not None else ""), lambda row: row[name])


def _scaled(row: dict[str, Any], name: str) -> str:
    value = row[name]
    if value is None:
        return "–"
    for size, unit in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if value >= size:
            return f"{value / size:.1f}{unit}"
    return str(value)


def _bytes(count: int | None) -> str:
    return "–" if count is None else f"{count / 1024:,.0f} KiB"


_FIRST = (
    Column("rank", lambda row: "" if row["rank"] is None else str(row["rank"]), lambda row: row["rank"]),
    Column("method", lambda row: str(row["name"])),
    Column("ceiling", lambda row: row["ceiling"] or "–"),
    Column("quality", _interval("quality", ".2f"), lambda row: row["quality"]),
    Column("Δ", _interval("difference", "+.2f"), lambda row: row["difference"]),
    _numeric("bits/value", "bits_per_value", ".2f"),
)
_INFERENCE = (
    _numeric("peak", "peak_ratio", ".2f", "x"),
    _numeric("traffic", "traffic_ratio", ".2f", "x"),
    Column("MACs", lambda row: _scaled(row, "macs"), lambda row: row["macs"]),
    _numeric("latency", "latency_ratio", ".2f", "x"),
    Column("memory", lambda row: _bytes(row["memory_bytes"]), lambda row: row["memory_bytes"]),
)
_TRAINING = (
    _numeric("saved", "saved_ratio", ".2f", "x"),
    _numeric("payload", "payload_ratio", ".2f", "x"),
    _numeric("peak of a step", "peak_step_ratio", ".2f", "x"),
    _numeric("batch", "largest_batch", "d"),
    _numeric("time of a step", "step_ratio", ".2f", "x"),
    _numeric("gradient", "gradient_cosine", ".3f"),
)
_LAST = (Column("status", lambda row: str(row["status"])), Column("verified", lambda row: str(row["verified"])))


def columns(track: str) -> tuple[Column, ...]:
    """Of the boards of a track."""
    return (*_FIRST, *(_TRAINING if track == "training" else _INFERENCE), *_LAST)


def values(row: Row) -> dict[str, Any]:
    """What columns take their text from."""
    return flat(row.record) | {"name": row.name, "rank": row.rank, "verified": _mark(row.verification)}


def _mark(verification: Verification | None) -> str:
    """Whether a repetition found the same, and when."""
    if verification is None:
        return ""
    return ("✓ " if verification.holds else "differs ") + verification.when.partition("T")[0]
