"""JSON from files that anybody may have written: regular files, finite numbers, and each name once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_MOST_BYTES = 1 << 28
"""More than this no record has."""


def read_json(path: Path) -> Any:
    """The values of a JSON file. Raises OSError where it cannot be read, ValueError where it is no JSON of ours."""
    import pydantic_core

    if path.exists() and not path.is_file():
        raise ValueError("it is no regular file")  # to open a pipe would wait for somebody who writes
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES} bytes")
    data = path.read_bytes()
    value = pydantic_core.from_json(data, allow_inf_nan=False)  # refuses what is nested too deeply for json
    json.loads(data, object_pairs_hook=_each_once)
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    """Refuses two values under one name: which of them is meant, readers decide differently."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:40]!r} is there twice")
