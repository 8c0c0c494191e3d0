"""Tasks of the listing process, as it carries them out: what a plugin registers, and what a workload is made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actbench.errors import UserError
from actbench.listing.form import to_json
from actbench.plugin_sources import PluginSource
from actbench.registry import attempt, load_from


def answer(task: Mapping[str, Any]) -> dict[str, Any]:
    """Carries out one task. Code of a plugin runs."""
    return _list(task) if task["kind"] == "list" else _identify(task)


def _list(task: Mapping[str, Any]) -> dict[str, Any]:
    outcome = attempt(PluginSource.from_json(task["source"]))
    return {"error": outcome} if isinstance(outcome, str) else {"registration": to_json(outcome)}


def _identify(task: Mapping[str, Any]) -> dict[str, Any]:
    data, weights = (None if task[name] is None else Path(task[name]) for name in ("data", "weights"))
    try:
        return {"digests": load_from(map(Path, task["files"]), task["target"])(data, weights)}
    except UserError as error:
        return {"refused": str(error)}
