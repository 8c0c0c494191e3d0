"""Sizes of memory as people write them: `64KiB`, `1.5MiB`."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

_UNITS = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?(B|KiB|MiB|GiB)", re.ASCII)
_DIGITS = 10**6


def parse_size(text: str) -> int | None:
    """Reads a size, `512B`, `64KiB`, `1.5MiB` or `8 GiB`, as whole bytes, rounded down; None for anything else."""
    match = _SIZE.fullmatch(text.strip())
    return int(Fraction(match[1]) * _UNITS[match[2]]) if match else None


def format_size(size: int) -> str:
    """Writes bytes in the largest unit in which six digits behind the point say them exactly: `parse_size` reads the
    same."""
    unit = next(unit for unit, of in _UNITS.items() if (size >= of and size * _DIGITS % of == 0) or of == 1)
    return f"{Decimal(size) / Decimal(_UNITS[unit]):f}{unit}"
