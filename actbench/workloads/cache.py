"""The cache folder, and in it the digests of files that were read before. No torch; nothing is written beside data."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType

from actbench.errors import UserError
from actbench.records.store import write_over
from actbench.workloads.tree import DataFile

CACHE = "ACTBENCH_CACHE"
"""Environment variable: the cache folder, in place of `$XDG_CACHE_HOME/actbench` or `~/.cache/actbench`."""

_DIGEST = re.compile(r"[0-9a-f]{64}")

_TICK = 20_000_000
"""Nanoseconds after which another write gives a file another time, with room to spare: clocks of file systems tick."""


def cache_folder() -> Path:
    """Finds the folder for what can be had again. Raises UserError where there is no home to put it into."""
    if (chosen := os.environ.get(CACHE, "")) != "":
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "actbench"
    except RuntimeError as error:
        raise UserError(f"there is no home folder: name a folder for the cache in {CACHE}") from error


class CachedDigests(AbstractContextManager["CachedDigests"]):
    """The digests of a data folder's files. A file is read where its resolved path, inode, size or times are not those
    of a file that was read before. What was read is kept in the end, also of a folder that was not read to its end."""

    def __init__(self, folder: Path, files: Sequence[DataFile]) -> None:
        self._path = _cache_file(folder)
        self._known = _read(self._path)
        self._used: dict[str, str] = {}
        # A write in the tick of the clock in which a file was read would go unnoticed.
        newest = max((file.changed for file in files), default=0)
        if 0 < (left := newest + _TICK - time.time_ns()) <= _TICK:
            time.sleep(left / 1e9)

    def of(self, file: DataFile) -> str:
        """Gives the SHA-256 of a file's content, in hexadecimal. Raises UserError where it cannot be read."""
        key = _key(file)
        cached = self._known.get(key)
        if not (isinstance(cached, str) and _DIGEST.fullmatch(cached)):
            cached = content_digest(file.path)
        self._used[key] = cached
        return cached

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept = self._used if kind is None else {**self._known, **self._used}
        if self._path is not None and kept != self._known:
            with suppress(UserError):  # without a cache it takes longer, and that is all
                write_over(self._path, json.dumps(kept, indent=0))


def content_digest(path: str) -> str:
    """Computes the SHA-256 of a regular file's content, in hexadecimal. Raises UserError where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()


def _cache_file(folder: Path) -> Path | None:
    """The file for a data folder; None where there is no cache."""
    name = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:32]
    try:
        return cache_folder() / "digests" / f"{name}.json"
    except UserError:
        return None


def _read(path: Path | None) -> dict[str, object]:
    """What a cache file holds; nothing where it is missing or damaged."""
    try:
        known = json.loads(path.read_bytes()) if path is not None else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _key(file: DataFile) -> str:
    # The time of the inode's change notices an edit that has put back the time of the content's change.
    stamp = f"\0{file.size}\0{file.modified}\0{file.changed}\0{file.inode}"
    return hashlib.sha256(os.fsencode(file.resolved) + stamp.encode()).hexdigest()[:32]
