"""Tables of rows: which columns are shown first, what each heading says, and where a row leads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any

from actbench.info import Track
from actbench.leaderboard.board import Board
from actbench.leaderboard.columns import columns, is_number
from actbench.leaderboard.pages.commands import command_of
from actbench.leaderboard.row import Row
from actbench.records import columns as of_records
from actbench.records.column import Column
from actbench.records.places import place
from actbench.records.record import Record

SHOWN: dict[Track, tuple[str, ...]] = {
    "inference": ("quality", "difference", "live_ratio", "latency_ratio", "memory_bytes"),
    "training": ("quality", "difference", "saved_ratio", "peak_step_ratio", "step_ratio"),
}
"""What tables show at first beside rank, method and verification; the other columns are chosen."""

_ALWAYS = ("rank", "name", "verified")


def table(board: Board, rows: Sequence[Row], *, with_ceiling: bool = False) -> dict[str, Any]:
    """Some rows of a board, with headings. `with_ceiling`: rows of several ceilings."""
    shown = [one for one in columns(board.track) if with_ceiling or one.name != "ceiling"]
    return {
        "track": board.track,
        "columns": [{"place": place} | _heading(one, board, with_ceiling) for place, one in enumerate(shown, 1)],
        "rows": [_row(row, shown) for row in rows],
    }


def _heading(shown: Column[Row], board: Board, with_ceiling: bool) -> dict[str, Any]:
    is_shown = shown.name in (*_ALWAYS, *(("ceiling",) if with_ceiling else ()), *SHOWN[board.track])
    better = "less" if shown.name == "rank" else _better(shown.name, board)
    return {
        "name": shown.name,
        "title": shown.title,
        "help": shown.help,
        "numeric": is_number(shown),
        "better": better or "",
        "arrow": {"more": "↑", "less": "↓"}.get(better or "", ""),
        "shown": is_shown,
    }


def _better(name: str, board: Board) -> str | None:
    """Which direction of a column is the better one on a board."""
    if name not in of_records.IN_TABLES[board.track]:
        return None
    measured = (row.record for row in board.rows if row.quality is not None)
    record = next(measured, board.rows[0].record)
    return of_records.column(name).better_of(record)


def _row(row: Row, shown: Sequence[Column[Row]]) -> dict[str, Any]:
    method, folder = row.record.cell.method.name, f"boards/{place(row.record.cell.workload.name)}"
    return {
        "cells": [
            {"name": one.name, "text": one.text(row), "sort": "" if (value := one.value(row)) is None else value}
            for one in shown
        ],
        "name": row.name,
        "method": method,
        "method_page": f"methods/{place(method)}.html",
        "ceiling": row.ceiling,
        "status": row.status,
        "reason": row.reason,
        "is_older": row.is_older,
        "pages": [(_page_title(row, record), f"{folder}/records/{_page(record)}") for record in row.records],
    }


def _page_title(row: Row, record: Record) -> str:
    return "record" if len(row.records) == 1 else f"seed {record.cell.seed}"


def _page(record: Record) -> str:
    return f"{PurePath(record.file_name).stem}.html"


def renewals(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Rows of older versions of their methods, and the command that measures each anew."""
    return [(f"{row.name} {row.ceiling}".strip(), command_of(row.record.cell)) for row in rows if row.is_older]
