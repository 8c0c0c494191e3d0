"""Text from elsewhere, made safe to show: it may hold what a terminal takes for a command."""

from __future__ import annotations

from collections.abc import Sequence

_NAMES = 8
"""Names in a line; the others are counted."""


def visible(text: str) -> str:
    r"""Writes what a terminal would obey or hide as escapes, as `repr` does: control characters (`\x1b`), line ends,
    overrides of the direction of writing, and bytes of file names that are no text. Printable text stays as it is."""
    return text if text.isprintable() else "".join(map(_visible_character, text))


def _visible_character(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def some_of(names: Sequence[str]) -> str:
    """The first eight of some names, and how many there are beside them."""
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return f"{', '.join(names[:_NAMES])}{more}"
