"""What the chooser looks for: the rows of the inference track, as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from actbench.leaderboard.board import Board
from actbench.leaderboard.findings.sentence import link
from actbench.leaderboard.places import board_places
from actbench.leaderboard.row import Row
from actbench.records.columns import column
from actbench.records.places import place

_KIBIBYTE = 8 * 1024


def choices(boards_of: Mapping[str, Sequence[Board]]) -> list[dict[str, Any]]:
    """A row each that holds its ceiling: `loss` against fp32 in the metric's unit, `live` and `largest` map in KiB of
    stored bits on the worst image, `latency` as a multiple of fp32's, None where it does not compare."""
    return [
        _choice(row, board, f"boards/{place(name)}/{page}.html")
        for name, shown in boards_of.items()
        for board, page in zip(shown, board_places(shown), strict=True)
        for row in _candidates(board)
    ]


def _candidates(board: Board) -> Iterator[Row]:
    if board.track == "inference":
        yield from (row for row in board.rows if row.holds and row.record.measurements.footprint is not None)


def _choice(row: Row, board: Board, page: str) -> dict[str, Any]:
    record, quality = row.record, row.record.measurements.quality
    bits = record.cell.budget.bits
    assert row.difference is not None
    low, high = row.difference.interval
    assert quality is not None
    return {
        "workload": board.key.workload,
        "metric": f"{quality.metric} {quality.unit}".strip(),
        "method": row.name,
        "record": link(row).page,
        "board": page,
        "title": board.key.title,
        "ceiling": row.ceiling,
        "loss": round(-row.sign * row.difference.value, 6),
        "half": round(high / 2 - low / 2, 6),
        "live": _kibibytes(row, "live"),
        "largest": _kibibytes(row, "peak"),
        "latency": row.comparable(column("latency_ratio")),
        "memory": _measured(row),
        "widths": "fixed" if bits.low == bits.high else "free",
        "division": board.key.settings.division,
        "verified": bool(row.verifications) and all(one.holds for one in row.verifications),
        "protocol": board.key.protocol,
    }


def _kibibytes(row: Row, kind: str) -> float:
    """Of the worst seed and image."""
    counted = [of.footprint.counted(kind)[0] for one in row.records if (of := one.measurements).footprint is not None]
    return round(max(counted) / _KIBIBYTE, 3)


def _measured(row: Row) -> float | None:
    value = row.value(column("memory_bytes"))
    return round(value / 1024, 1) if isinstance(value, int | float) else None
