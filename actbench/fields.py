"""Checks of what plugins write into their registrations: each raises TypeError or ValueError that names the field."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
"""What a method, a workload or an executor may be called."""

LONGEST_TEXT = 2000
_LONGEST_LINE = 500
_LONGEST_LIST = 1000
_LARGEST_NUMBER = 2**63

_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def check_name(name: Any) -> None:
    """Checks what a method, a workload or an executor is called."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"name {_shown(name)}: use lower-case letters, digits and hyphens, 64 at most")


def check_target(target: Any) -> None:
    """Checks a lazy `"package.module:Class"`."""
    check_text("target", target)
    if not _TARGET.fullmatch(target):
        raise ValueError(f'target {_shown(target)}: write "package.module:Class"')


def check_text(field: str, text: Any) -> None:
    """Checks a text of one line, which may be printed anywhere."""
    if type(text) is not str:
        raise TypeError(f"{field} {_shown(text)}: give a str, not {type(text).__name__}")
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"{field} {_shown(text)}: {len(text)} characters are too long, {LONGEST_TEXT} at most")
    if not text.isprintable():
        raise ValueError(f"{field} {_shown(text)}: one line of printable characters, please")


def check_flag(field: str, flag: Any) -> None:
    """Checks what is true or false."""
    if type(flag) is not bool:
        raise TypeError(f"{field} {_shown(flag)}: give True or False")


def check_word(field: str, word: Any, words: Sequence[str]) -> None:
    """Checks that a word is one of a few."""
    if word not in words:
        raise ValueError(f"{field} {_shown(word)}: choose from {', '.join(words)}")


def check_list(field: str, values: Any, kind: type[Any]) -> None:
    """Checks a tuple of values of one type."""
    if type(values) is not tuple or not all(isinstance(value, kind) for value in values):
        raise TypeError(f"{field} {_shown(values)}: give a tuple of {kind.__name__}")
    if len(values) > _LONGEST_LIST:
        raise ValueError(f"{field}: {len(values)} are too many, {_LONGEST_LIST} at most")


def check_value(field: str, value: Any) -> None:
    """Checks an option's value: a bool, a finite number, or a text."""
    if isinstance(value, str):
        return check_text(field, value)
    if type(value) not in (bool, int, float):
        raise TypeError(f"{field} {_shown(value)}: give a bool, int, float or str")
    if (isinstance(value, int) and abs(value) >= _LARGEST_NUMBER) or not math.isfinite(value):
        raise ValueError(f"{field} {_shown(value)}: give a finite number, whole ones of at most 63 bits")
    return None


def check_number(field: str, number: Any) -> None:
    """Checks a finite number."""
    if type(number) not in (int, float):
        raise TypeError(f"{field} {_shown(number)}: give a number")
    check_value(field, number)


def one_line(text: str) -> str:
    """A text in one line of bounded length, without characters that a terminal would obey."""
    return _printable(" ".join(text.split()))[:_LONGEST_LINE]


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def _shown(value: Any) -> str:
    """A value in a few characters."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return _printable(text if len(text) <= 80 else text[:77] + "...")
