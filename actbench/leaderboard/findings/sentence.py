"""Sentences about rows: text, and links to the records that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from actbench.leaderboard.board import COSTS, Board
from actbench.leaderboard.columns import columns
from actbench.leaderboard.row import Row
from actbench.records.columns import column
from actbench.records.places import place
from actbench.records.record import Record


@dataclass(frozen=True)
class Link:
    """Words that lead to a record."""

    text: str
    record: Record

    @property
    def page(self) -> str:
        """The record's page, from the leaderboards' folder."""
        return str(_folder("boards", self.record) / "records" / f"{PurePosixPath(self.record.file_name).stem}.html")

    @property
    def file(self) -> str:
        """The record itself, from the leaderboards' folder."""
        return str(_folder("records", self.record) / self.record.file_name)


Sentence = tuple[str | Link, ...]
"""One or several sentences, of text from records and links to them."""

Group = tuple[str, list[Sentence]]
"""What sentences are about, and they."""


def plain(sentence: Sentence) -> str:
    """The words alone."""
    return "".join(part if isinstance(part, str) else part.text for part in sentence)


def link(row: Row, text: str = "") -> Link:
    """The row's name, or other words, leading to its record of the lowest seed."""
    return Link(text or row.name, row.record)


def listed(rows: Sequence[Row], said: Callable[[Row], str] = lambda row: "", most: int = 4) -> Sentence:
    """`a, b and c`, each with what is said of it in brackets; those beyond the first few are counted."""
    parts: list[str | Link] = []
    for index, row in enumerate(rows[:most]):
        parts += [", "] if index else []
        parts += [link(row), *([f" ({words})"] if (words := said(row)) else [])]
    return (*parts, f" and {len(rows) - most} more") if len(rows) > most else tuple(parts)


def quality_text(row: Row) -> str:
    """Quality with half of its interval and its unit: `94.10 ± 1.10 %`."""
    quality = row.record.measurements.quality
    return f"{_text(row, 'quality')} {quality.unit if quality else ''}".strip()


def difference_text(row: Row) -> str:
    """The difference to fp32 with half of its paired interval: `Δ -0.25 ± 0.65`."""
    return f"Δ {_text(row, 'difference')}"


def costs_text(row: Row, board: Board) -> str:
    """Time and memory, as tables show them, what was measured of them: `latency 1.36x, memory 1,056 KiB`."""
    measured = (name for name in COSTS[board.track] if row.value(column(name)) is not None)
    return ", ".join(cost_text(row, name) for name in measured)


def cost_text(row: Row, name: str) -> str:
    """One column with its title, as tables show it: `latency 1.36x`."""
    return f"{column(name).title} {_text(row, name)}"


def chance_text(chance: float) -> str:
    """A p-value: `p = 0.012`, `p < 0.001`."""
    return "p < 0.001" if chance < 0.001 else f"p = {chance:.2g}"


def _text(row: Row, name: str) -> str:
    shown = next(one for one in columns(row.record.cell.settings.track) if one.name == name)
    return shown.text(row)


def _folder(kind: str, record: Record) -> PurePosixPath:
    return PurePosixPath(kind) / place(record.cell.workload.name)
