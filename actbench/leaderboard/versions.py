"""Versions of methods: which of several is the newest."""

from __future__ import annotations

import re
from collections.abc import Sequence

from actbench.leaderboard.row import Row


def numbers(version: str) -> list[int]:
    """The numbers in a version, by which it is compared."""
    return [int(number) for number in re.findall(r"[0-9]{1,18}", version)]


def of_newest(rows: Sequence[Row]) -> list[Row]:
    """The rows whose methods are of the newest version that any of the rows has: on a board of an older protocol that
    is one that is installed no more."""
    newest: dict[str, list[int]] = {}
    for row in rows:
        method = row.record.cell.method
        newest[method.name] = max(newest.get(method.name, []), numbers(method.version))
    methods = [(row, row.record.cell.method) for row in rows]
    return [row for row, method in methods if numbers(method.version) == newest[method.name]]
