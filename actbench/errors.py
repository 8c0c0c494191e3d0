"""The errors that have a meaning to the harness; everything else is a crash."""

from __future__ import annotations

from typing_extensions import override

from actbench.text import visible


class UserError(Exception):
    """Something the user can mend: one line that says what is wrong and what to do. Exit code 2."""

    @override
    def __str__(self) -> str:
        """The message; what file names and other people's text bring along never reaches the terminal as a command."""
        return visible(super().__str__())


class Unsupported(Exception):
    """A method cannot do what a cell asks for. The message is the reason that the record gives."""


class InvalidCodec(Exception):
    """A codec broke the rules: what it stored is not what it claimed, or `decode` saw more than the payload."""
