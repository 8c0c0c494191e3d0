"""Where plugins come from: actbench itself, installed packages, one-off files; and which of them are switched off."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from actbench.errors import UserError

GROUP = "actbench"
"""The entry-point group, the same for the reference methods and for third parties."""

RESTRICT = "ACTBENCH_PLUGINS"
"""Environment variable: names of the entry points to load, separated by commas; all where it is not set."""

SWITCHED_OFF = "ACTBENCH_NO_PLUGINS"
"""Environment variable: names of entry points, or keys of sources, that are not loaded, separated by commas."""

BUILT_IN = ("actbench.workloads.registry", "actbench.harness.executors.registry")


@dataclass(frozen=True)
class PluginSource:
    """A plugin that has not been imported. `origin`: its distribution, its file, or `built-in`; `module`: the module
    that registers, for an entry point its whole value."""

    name: str
    origin: str
    module: str
    version: str = ""
    file: Path | None = None

    @property
    def key(self) -> str:
        """What tells it from every other source."""
        return self.module if self.file is not None else f"{self.name}={self.module}"

    @property
    def is_built_in(self) -> bool:
        """Whether it is actbench's own code."""
        return self.module in BUILT_IN

    def load(self) -> Any:
        """Imports it: code of others runs."""
        if self.file is not None:
            return load_file(self.file, self.module)
        return EntryPoint(self.name, self.module, GROUP).load()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**vars(self), "file": None if self.file is None else str(self.file)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PluginSource:
        """What `to_json` gave."""
        return cls(**{**data, "file": None if data["file"] is None else Path(data["file"])})


def plugin_sources(files: Iterable[Path] = ()) -> list[PluginSource]:
    """All plugins that are not switched off: built-in, installed, and `files`. Raises UserError for a file that is
    none."""
    sources = [PluginSource(name, "built-in", name) for name in BUILT_IN]
    sources += [_source_of(entry) for entry in _installed()]
    sources += [PluginSource(file.stem, str(file), name, "", file) for name, file in plugin_modules(files).items()]
    return [source for source in sources if source.key not in switched_off()]


def plugin_modules(files: Iterable[Path]) -> dict[str, Path]:
    """The files by the names of their modules: `actbench_plugin_<stem>`, numbered where stems are the same."""
    modules: dict[str, Path] = {}
    for file in files:
        if not file.is_file():
            raise UserError(f"plugin file {str(file)!r} does not exist")
        if file.suffix != ".py":
            raise UserError(f"plugin file {str(file)!r} is not a Python file: give one that ends in .py")
        name = base = "actbench_plugin_" + re.sub(r"\W", "_", file.stem)
        number = 1
        while name in modules:
            number += 1
            name = f"{base}_{number}"
        modules[name] = file
    return modules


def load_file(file: Path, name: str) -> Any:
    """Imports a file as the module `name`, from its source: compiled code beside it may be of an earlier version."""
    spec = spec_from_file_location(name, file)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # a lazy target f"{__name__}:Class" is found there
    exec(compile(file.read_bytes(), str(file), "exec", dont_inherit=True), vars(module))
    return module


def installed_names() -> list[str]:
    """Names of all entry points, those that are switched off too."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def switched_off() -> list[str]:
    """What is named as switched off."""
    return _names(os.environ.get(SWITCHED_OFF, ""))


def switch_off(names: Iterable[str]) -> None:
    """Switches plugins off, by the names of their entry points or by their keys, for this process and its workers."""
    os.environ[SWITCHED_OFF] = ",".join(dict.fromkeys([*switched_off(), *names]))


def _installed() -> list[EntryPoint]:
    installed = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    names = {entry.name for entry in installed}
    allowed = _names(os.environ[RESTRICT]) if RESTRICT in os.environ else names
    missing = sorted(set(allowed) - names)
    if missing:
        raise UserError(f"{RESTRICT} names {missing[0]!r}, which is not installed")
    return [entry for entry in installed if entry.name in allowed and entry.name not in switched_off()]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _source_of(entry: EntryPoint) -> PluginSource:
    if entry.dist is None:
        return PluginSource(entry.name, entry.value, entry.value)
    name, version = _name_and_version(entry.dist)
    return PluginSource(entry.name, name, entry.value, version)


@lru_cache
def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    """What a distribution is called. Its metadata are read once for all of its entry points."""
    metadata = distribution.metadata
    return metadata["Name"], metadata["Version"]
