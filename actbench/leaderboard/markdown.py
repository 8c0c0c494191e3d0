"""Leaderboards as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from actbench.info import Track
from actbench.leaderboard.board import Board
from actbench.leaderboard.columns import columns
from actbench.leaderboard.curves import REFERENCE_BITS, REFERENCE_LOSS
from actbench.leaderboard.seeds import over_seeds
from actbench.records.columns import legend
from actbench.records.places import place

RANKS = (
    "Ranks: by quality among the rows that hold the same ceiling; rows whose 95 % interval reaches the leader's value "
    "share its rank."
)


def index_page(counts: Mapping[str, int]) -> str:
    """The front page: workloads, and how many records each has."""
    lines = [
        "# Leaderboards",
        "",
        "Written by `actbench publish`. Each record can be repeated by the command in it.",
        "",
    ]
    lines += [f"- [{escape(name)}](boards/{place(name)}/README.md): {count} records" for name, count in counts.items()]
    return "\n".join(lines) + "\n"


def workload_page(name: str, shown_boards: Sequence[Board]) -> str:
    """All boards of a workload."""
    parts = [f"# {escape(name)}", RANKS, *map(_legend, dict.fromkeys(board.track for board in shown_boards))]
    for board in shown_boards:
        parts += [f"## {escape(board.key.title)}", _table(board), _seeds(board), _curves(board), _reasons(board)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _legend(track: Track) -> str:
    return "\n".join(f"- {escape(line)}" for line in legend(track))


def _table(board: Board) -> str:
    shown = columns(board.track)
    return grid([column.title for column in shown], [[column.text(row) for column in shown] for row in board.rows])


def _seeds(board: Board) -> str:
    """One line for all seeds of a method at a ceiling."""
    summaries = over_seeds(board.rows)
    if not summaries:
        return ""
    rows = [
        [
            summary.name,
            summary.ceiling or "–",
            str(summary.seeds),
            f"{summary.quality:.2f} ± {summary.quality_half:.2f}",
            f"{summary.difference:+.2f} ± {summary.difference_half:.2f}",
        ]
        for summary in summaries
    ]
    return "Over seeds, with 95 % intervals of the means:\n\n" + grid(
        ["method", "ceiling", "seeds", "quality", "Δ"], rows
    )


def _curves(board: Board) -> str:
    """What all ceilings together say of each method."""
    rows = []
    for name, area in sorted(board.hypervolumes.items(), key=lambda item: -item[1]):
        rate = board.bd_rates.get(name, "the anchor")
        rows.append([name, f"{area:.1f}", rate if isinstance(rate, str) else f"{rate:+.1f} %"])
    if not rows:
        return ""
    text = (
        f"Over all ceilings: hypervolume in octaves of bits below {REFERENCE_BITS:.0f} × points of quality above a "
        f"loss of {REFERENCE_LOSS:.0f}; BD-rate: bits at equal quality against `{board.anchor}`."
    )
    return text + "\n\n" + grid(["method", "hypervolume", "BD-rate"], rows)


def _reasons(board: Board) -> str:
    rows = [row for row in board.rows if row.record.status != "ok"]
    lines = [f"- {escape(row.name)} {row.ceiling}: {row.record.status}: {escape(row.record.reason)}" for row in rows]
    return "\n".join(lines)


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(escape(cell) for cell in line) + " |" for line in lines)


def escape(text: str) -> str:
    """Text that no Markdown, and no HTML in it, comes out of."""
    for character in "\\`*_[]<>|#":
        text = text.replace(character, "\\" + character) if character not in "<>" else text
    return " ".join(text.replace("<", "&lt;").replace(">", "&gt;").split())
