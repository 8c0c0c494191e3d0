"""Leaderboards as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from posixpath import join, normpath

from actbench.info import Track
from actbench.leaderboard.board import Board, headline
from actbench.leaderboard.ceilings import OverCeilings
from actbench.leaderboard.columns import columns
from actbench.leaderboard.curves import REFERENCE_BITS
from actbench.leaderboard.findings.ceilings import of_board
from actbench.leaderboard.findings.methods import standings
from actbench.leaderboard.findings.pairs import between_boards
from actbench.leaderboard.findings.sentence import Group, Sentence
from actbench.leaderboard.pictures.trade import has_trades
from actbench.leaderboard.places import board_places
from actbench.records.columns import legend
from actbench.records.places import place

_BLANKS = re.compile(r"\s+")

RANKS = (
    "Ranks: by quality among the rows that hold the same ceiling. A row has the rank of the one before it, unless it "
    "differs from the first row of that rank on the same images, at 95 % after Holm's correction over all pairs "
    "(unpaired: by intervals alone); within a rank by time, then memory. A time does not compare where others used the "
    "machine (busy), or where its quartiles are further apart than 10 % of it (unsteady)."
)


def index_page(boards_of: Mapping[str, Sequence[Board]], counts: Mapping[str, int]) -> str:
    """The front page: what is found on each workload, how many records each has, and how each method stands."""
    parts = [
        "# Leaderboards",
        "Written by `actbench publish`. Each record can be repeated by the command in it.",
        "\n".join(f"- {_board_link(name)}: {counts[name]} records" for name in boards_of),
        "## Findings",
        findings_text(boards_of),
        "## Methods",
        _methods(boards_of),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def findings_text(boards_of: Mapping[str, Sequence[Board]], root: str = ".") -> str:
    """What is found on the first board of each workload, and between its boards. `root`: where the leaderboards are."""
    return "\n\n".join(part for name, of in boards_of.items() for part in _workload_findings(name, of, root))


def _workload_findings(name: str, shown_boards: Sequence[Board], root: str) -> list[str]:
    first = headline(shown_boards)
    parts = [f"### {_board_link(name, root)}: {escape(first.key.title)}", _sentences(of_board(first), root)]
    page = dict(zip(map(id, shown_boards), board_places(shown_boards), strict=True))[id(first)]
    parts += _pictures(first, _below(root, f"boards/{place(name)}/{page}"))
    for title, sentences in between_boards(shown_boards):
        parts += [f"{escape(title)}:", _sentences([(title, [one]) for one in sentences], root)]
    return parts


def _board_link(name: str, root: str = ".") -> str:
    return f"[{escape(name)}]({_below(root, f'boards/{place(name)}/README.md')})"


def _sentences(groups: Sequence[Group], root: str) -> str:
    """A bullet for each group."""
    return "\n".join(f"- {' '.join(said_in(sentence, root) for sentence in of)}" for _, of in groups)


def _methods(boards_of: Mapping[str, Sequence[Board]]) -> str:
    every = [board for of in boards_of.values() for board in of]
    return "\n".join(
        f"- **{escape(name)}**: {said_in(standing.strengths)} Weak: {said_in(standing.weaknesses)}"
        for name, standing in sorted(standings(every).items())
    )


def said_in(sentence: Sentence, root: str = ".") -> str:
    """A sentence in Markdown, its links leading to records below `root`."""
    return "".join(
        escape_words(part) if isinstance(part, str) else f"[{escape(part.text)}]({_below(root, part.file)})"
        for part in sentence
    )


def _below(root: str, path: str) -> str:
    return normpath(join(root, path))


def workload_page(name: str, shown_boards: Sequence[Board]) -> str:
    """All boards of a workload."""
    parts = [f"# {escape(name)}", RANKS, *map(_legend, dict.fromkeys(board.track for board in shown_boards))]
    for board, page in zip(shown_boards, board_places(shown_boards), strict=True):
        parts += [f"## {escape(board.key.title)}", _sentences(of_board(board), "../.."), *_pictures(board, page)]
        parts += [f"![quality against its costs]({page}-trade.svg)"] if has_trades(board) else []
        parts.append(_table(board))
        parts += [*map(_over_ceilings, board.over_ceilings), _reasons(board)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _pictures(board: Board, page: str) -> list[str]:
    """What methods lose at each ceiling, where there is a row that holds one."""
    if not any(row.holds for row in board.rows):
        return []
    return [f"![what each method loses at each ceiling]({page}-differences.svg)"]


def _legend(track: Track) -> str:
    return "\n".join(f"- {escape(line)}" for line in legend(track))


def _table(board: Board) -> str:
    shown = columns(board.track)
    return grid([column.title for column in shown], [[column.text(row) for column in shown] for row in board.rows])


def _over_ceilings(over: OverCeilings) -> str:
    """What the ceilings of one kind say together of each method."""
    return f"{over_ceilings_text(over)}\n\n" + grid(["method", "hypervolume", "BD-rate"], over_ceilings_rows(over))


def over_ceilings_text(over: OverCeilings) -> str:
    """What the figures over ceilings are."""
    return (
        f"Over {over.kind} ceilings. Hypervolume: octaves of bits below {REFERENCE_BITS:.0f} × "
        f"{_above(over)}, at the ceilings that all hold ({', '.join(over.common) or 'none'}). BD-rate: "
        f"bits at equal quality against {over.anchor}, by all of a method's points."
    )


def _above(over: OverCeilings) -> str:
    point, side = over.reference_point, "above" if over.sign > 0 else "below"
    return "quality" if point is None else f"quality {side} {point:g}"


def over_ceilings_rows(over: OverCeilings) -> list[tuple[str, str, str]]:
    """Method, hypervolume and BD-rate as text, the largest hypervolume first."""
    rows = []
    for name, area in sorted(over.hypervolumes.items(), key=_largest_first):
        rate = "the anchor" if name == over.anchor else _text(over.bd_rates[name], "+.1f", " %")
        rows.append((name, _text(area, ".1f"), rate))
    return rows


def _largest_first(named: tuple[str, float | str]) -> tuple[float, str]:
    name, area = named
    return (0.0 if isinstance(area, str) else -area, name)


def _text(figure: float | str, form: str, unit: str = "") -> str:
    """A figure, or why there is none."""
    return f"n/a: {figure}" if isinstance(figure, str) else f"{figure:{form}}{unit}"


def _reasons(board: Board) -> str:
    rows = [row for row in board.rows if row.status != "ok"]
    lines = [f"- {escape(row.name)} {row.ceiling}: {row.status}: {escape(row.reason)}" for row in rows]
    return "\n".join(lines)


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(escape(cell) for cell in line) + " |" for line in lines)


def escape(text: str) -> str:
    """Text that no Markdown, and no HTML in it, comes out of."""
    return " ".join(escape_words(text).split())


def escape_words(text: str) -> str:
    """The same of a part of a line, whose blanks at the ends stay."""
    for character in "\\`*_[]|#~$":
        text = text.replace(character, "\\" + character)
    return _BLANKS.sub(" ", text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
