"""What tables show of a row: its place on the board, and what was measured."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from actbench.info import Track
from actbench.leaderboard.row import Row
from actbench.leaderboard.significance import Sample
from actbench.records.column import Column
from actbench.records.columns import table_columns
from actbench.records.record import Record


def _unpaired(row: Row) -> tuple[str, ...]:
    return ("unpaired",) if row.rank and not row.rank.paired else ()


def _seeds(row: Row) -> tuple[str, ...]:
    return (f"{len(row.records)} seeds",) if len(row.records) > 1 else ()


_PLACE = (
    Column[Row](
        "rank",
        "rank",
        "by quality among the rows that hold the same ceiling, shared unless the same images tell rows apart",
        lambda row: row.rank.number if row.rank else None,
        remarks=_unpaired,
    ),
    Column[Row]("name", "method", "with the options in which rows differ", lambda row: row.name, remarks=_seeds),
    Column[Row]("ceiling", "ceiling", "the most bits that may be stored", lambda row: row.ceiling or None),
)
_END = (
    Column[Row]("status", "status", "how the cell ended", lambda row: row.status),
    Column[Row]("verified", "verified", "whether a repetition found the same, and when", lambda row: row.mark or None),
)
_OVER_SEEDS: dict[str, Callable[[Row], Sample | None]] = {
    "quality": lambda row: row.quality,
    "difference": lambda row: row.difference,
}


@cache
def columns(track: Track) -> tuple[Column[Row], ...]:
    """The columns of the boards of a track."""
    return (*_PLACE, *map(_over_seeds, table_columns(track)), *_END)


def _over_seeds(shown: Column[Record]) -> Column[Row]:
    """The column of a row: the mean over its seeds, with all remarks on them."""
    sample = _OVER_SEEDS.get(shown.name)

    def interval(row: Row) -> tuple[float, float] | None:
        found = sample(row) if sample is not None else None
        return None if found is None else found.interval

    def remarks(row: Row) -> tuple[str, ...]:
        return tuple(dict.fromkeys(remark for record in row.records for remark in shown.remarks(record)))

    return Column(
        shown.name,
        shown.title,
        shown.help,
        lambda row: row.value(shown),
        shown.show,
        shown.better,
        None if sample is None else interval,
        shown.repeats,
        remarks,
        decimals=None if shown.decimals is None else lambda row: _decimals(shown, row),
    )


def _decimals(shown: Column[Record], row: Row) -> int:
    assert shown.decimals is not None
    return shown.decimals(row.record)


def is_number(shown: Column[Row]) -> bool:
    """Whether a column holds numbers, to be aligned at the right and sorted as such."""
    return shown.name not in ("name", "ceiling", "status", "verified")
