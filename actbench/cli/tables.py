"""Tables and lines on the terminal: whole even where it is narrower than they are, as no number or name may be cut,
and with every control character of a record, a plugin or a file name shown instead of sent."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.style import StyleType
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from actbench.text import visible

_MEASURE = 10_000


class _VisibleTable(Table):
    """A table that shows the control characters of its cells."""

    @override
    def add_row(
        self, *renderables: RenderableType | None, style: StyleType | None = None, end_section: bool = False
    ) -> None:
        cells = (visible(cell) if isinstance(cell, str) else cell for cell in renderables)
        super().add_row(*cells, style=style, end_section=end_section)


def new_table() -> Table:
    """Makes a table without lines. Its cells are markup, in which control characters are shown."""
    return _VisibleTable(box=None, header_style="bold", pad_edge=False)


def print_whole(table: Table) -> None:
    """Prints a table in its full width; a narrow terminal wraps the lines."""
    Console(width=max(Console().width, whole_width(table)), emoji=False).print(table)


def whole_width(table: Table) -> int:
    """The columns of a terminal on which no line of a table is wrapped."""
    return Console(width=_MEASURE, emoji=False).measure(table).maximum


def say(line: str, style: str = "") -> None:
    """Prints one line of text, of which nothing is markup, and in which control characters are shown."""
    Console().print(Text(visible(line), style), highlight=False, soft_wrap=True)
