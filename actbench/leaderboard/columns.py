"""What tables show of a row: its place on the board, and what was measured."""

from __future__ import annotations

from actbench.info import Track
from actbench.leaderboard.board import Row
from actbench.records.column import Column
from actbench.records.columns import column, table_columns

_PLACE = (
    Column[Row](
        "rank",
        "rank",
        "by quality among the rows that hold the same ceiling, shared where the intervals do not tell rows apart",
        lambda row: row.rank,
    ),
    Column[Row]("name", "method", "with the options in which rows differ", lambda row: row.name),
    Column[Row]("ceiling", "ceiling", "the most bits that may be stored", lambda row: row.ceiling or None),
)
_VERIFIED = Column[Row](
    "verified", "verified", "whether a repetition found the same, and when", lambda row: row.mark or None
)


def columns(track: Track) -> tuple[Column[Row], ...]:
    """The columns of the boards of a track."""
    measured = [*table_columns(track), column("status")]
    return (*_PLACE, *(shown.of(lambda row: row.record) for shown in measured), _VERIFIED)


def is_number(shown: Column[Row]) -> bool:
    """Whether a column holds numbers, to be aligned at the right and sorted as such."""
    return shown.name not in ("name", "ceiling", "status", "verified")
