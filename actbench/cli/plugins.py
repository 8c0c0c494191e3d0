"""Plugins as every verb has them: listed by a process of their own, some switched off."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actbench.errors import UserError
from actbench.plugin_sources import installed_names, switch_off

if TYPE_CHECKING:
    from actbench.registry import Registry

_NO = "no:"


def registered(files: Sequence[Path] | None) -> Registry:
    """All that plugins provide. What could not be listed is not imported by workers either, which it could stop."""
    from actbench.listing.plugins import list_plugins

    registry = list_plugins(files or ())
    if registry.broken:
        switch_off(registry.broken)
    return registry


def switch(values: list[str] | None) -> list[str] | None:
    """Switches plugins off that are named as `no:NAME`. Raises UserError for what is not installed."""
    names = [value.removeprefix(_NO) for value in values or [] if value.startswith(_NO)]
    if len(names) < len(values or []):
        wrong = next(value for value in values or [] if not value.startswith(_NO))
        raise UserError(f"-p {wrong}: write no:NAME, which switches an installed plugin off")
    installed = installed_names() if names else []
    for name in names:
        if name not in installed:
            near = get_close_matches(name, installed, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(f"-p no:{name}: no such plugin is installed; {hint}`actbench plugins` lists them")
    if names:
        switch_off(names)
    return values


PluginSwitch = Annotated[
    list[str] | None,
    typer.Option("-p", metavar="no:NAME", callback=switch, help="Switch an installed plugin off; may be repeated."),
]
