"""All plugins, as the command line lists them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from actbench.errors import UserError
from actbench.fields import one_line
from actbench.listing.cache import Cache
from actbench.listing.form import from_json
from actbench.listing.process import SECONDS, carry_out
from actbench.plugin_sources import PluginSource, plugin_sources
from actbench.registry import Registration, Registry, attempt

_SECONDS = "10"


def list_plugins(files: Iterable[Path] = ()) -> Registry:
    """All plugins, none of them imported in this process: from the cache, or from the listing process."""
    registry = Registry(files=tuple(files))
    sources = plugin_sources(registry.files)
    cache = Cache()
    outcomes: dict[str, Registration | str] = {}
    for source in sources:
        kept = attempt(source) if source.is_built_in else cache.read(source)
        if kept is not None:
            outcomes[source.key] = kept
    unknown = [source for source in sources if source.key not in outcomes]
    for source, outcome in zip(unknown, _ask(unknown), strict=True):
        outcomes[source.key] = outcome
        if isinstance(outcome, Registration):
            cache.write(source, outcome)
    for source in sources:
        registry.take(source, outcomes[source.key])
    return registry


def _ask(sources: list[PluginSource]) -> list[Registration | str]:
    """What plugins register, or why they register nothing, from the listing process."""
    tasks = [{"kind": "list", "source": source.to_json()} for source in sources]
    return [_checked(outcome) for outcome in carry_out(tasks, _seconds())]


def _checked(outcome: dict[str, Any]) -> Registration | str:
    if "error" in outcome:
        return one_line(str(outcome["error"]))
    try:
        return from_json(outcome["registration"])
    except (ValueError, KeyError) as error:
        return one_line(f"its answer is no registration: {error}")


def _seconds() -> float:
    given = os.environ.get(SECONDS, _SECONDS)
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise UserError(f"{SECONDS}={given!r}: give a number of seconds")
    return seconds
