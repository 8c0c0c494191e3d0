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
    versions = [(row, row.record.cell.method.name, numbers(row.record.cell.method.version)) for row in rows]
    newest = {name: version for _, name, version in sorted(versions, key=lambda one: one[2])}
    return [row for row, name, version in versions if version == newest[name]]
