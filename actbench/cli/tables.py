"""Tables on the terminal, whole even where it is narrower than they are: no number or name may be cut."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

_MEASURE = 10_000


def new_table() -> Table:
    """A table without lines."""
    return Table(box=None, header_style="bold", pad_edge=False)


def print_whole(table: Table) -> None:
    """Prints a table in its full width; a narrow terminal wraps the lines."""
    width = Console(width=_MEASURE).measure(table).maximum
    Console(width=max(Console().width, width)).print(table)
