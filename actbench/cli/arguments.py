"""Arguments of the command line: numbers, lists of them, and folders, read and checked."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryFile

from actbench.errors import UserError
from actbench.sizes import parse_size

MOST = 10**9
"""The largest number of images, or of steps, that an option takes."""

MEMORY = range(2**20, 2**50)
"""Bytes that a cell may be given."""

LONGEST = 365 * 24 * 3600.0
"""The most seconds that a cell may be given."""

_WHOLE = re.compile(r"[0-9]{1,18}")


def split(name: str, text: str) -> list[str]:
    """Splits text at its commas, each part once. Raises UserError where there is none."""
    parts = list(dict.fromkeys(_parts(text)))
    if not parts:
        raise UserError(f"{name} is empty: name at least one")
    return parts


def parse_seeds(text: str) -> tuple[int, ...]:
    """Reads seeds, separated by commas. Raises UserError for what is no seed, and for one that is there twice."""
    parts = _parts(text)
    if not parts or not all(map(is_whole, parts)) or len(set(map(int, parts))) < len(parts):
        raise UserError(f"--seeds {text!r}: write whole numbers of at most 18 digits, each once, as in 0,1,2")
    return tuple(map(int, parts))


def parse_last(text: str) -> int | None:
    """Reads a number of convolutions; None for `all`. Raises UserError for anything else."""
    if text == "all":
        return None
    if not is_whole(text) or not 0 < int(text) <= MOST:
        raise UserError(f"--last {text!r}: write a number of convolutions, or all")
    return int(text)


def check_seconds(seconds: float) -> float:
    """Gives the seconds that a cell may take. Raises UserError for what no clock can wait for, and no number."""
    if not 0 < seconds <= LONGEST:
        raise UserError(f"--timeout {seconds:g}: give seconds, {LONGEST:.0f} (a year) at most")
    return seconds


def parse_memory(text: str) -> int | None:
    """Reads an amount of memory, `8GiB` or `512MiB`, as bytes; None for `free`. Raises UserError for anything else."""
    if text == "free":
        return None
    size = parse_size(text)
    if size is None or size not in MEMORY:
        raise UserError(f"--memory {text!r}: write an amount, as in 8GiB or 512MiB, or free")
    return size


def is_whole(text: str) -> bool:
    """Whether text is a whole number of at most 18 digits, which fits into 64 bits."""
    return _WHOLE.fullmatch(text) is not None


def make_folder(argument: str, folder: Path) -> None:
    """Makes a folder where there is none, and tries to write into it, before hours of work whose results would have no
    place. Raises UserError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{argument}: cannot write into {folder}: {error.strerror or error}") from error


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
