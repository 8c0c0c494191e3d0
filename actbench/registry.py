"""The plugin manager: loads plugins, keeps a broken one from stopping anybody, and lists what they provide."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pluggy

from actbench import hookspecs
from actbench.errors import UserError
from actbench.fields import one_line
from actbench.info import ExecutorInfo, MethodInfo, WorkloadInfo, load_target
from actbench.plugin_sources import GROUP, RESTRICT, PluginSource, load_file, plugin_modules, plugin_sources

__all__ = [
    "GROUP",
    "RESTRICT",
    "PluginReport",
    "Registration",
    "Registry",
    "attempt",
    "load_from",
    "load_plugins",
    "one_line_of",
]

API_ATTRIBUTE = "actbench_api"
"""A plugin's attribute: the version of the API that it was written for."""

_MOST_REGISTERED = 1000
"""Methods, workloads or executors of one plugin."""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Info = TypeVar("Info", bound=_Named)


@dataclass
class PluginReport:
    """One plugin as `actbench plugins` lists it. `error` says in one line why it is not usable; `notes` what it should
    change before it is not."""

    name: str
    source: str
    version: str = ""
    error: str = ""
    provides: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Registration:
    """What one plugin registers. `notes`: what it should change before it stops working."""

    methods: list[MethodInfo] = field(default_factory=list)
    workloads: list[WorkloadInfo] = field(default_factory=list)
    executors: list[ExecutorInfo] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Registry:
    """Everything that plugins provide, by name. `files`: plugins that were given as files; `broken`: the keys of the
    sources of which nothing was taken in."""

    methods: dict[str, MethodInfo] = field(default_factory=dict)
    workloads: dict[str, WorkloadInfo] = field(default_factory=dict)
    executors: dict[str, ExecutorInfo] = field(default_factory=dict)
    plugins: list[PluginReport] = field(default_factory=list)
    files: tuple[Path, ...] = ()
    broken: list[str] = field(default_factory=list)

    def take(self, source: PluginSource, outcome: Registration | str) -> None:
        """Takes in all that a plugin registers, or nothing of it; an outcome that is a text says why it is nothing."""
        report = PluginReport(source.name, source.origin, source.version)
        self.plugins.append(report)
        if isinstance(outcome, Registration):
            report.notes += outcome.notes
            outcome = self._add(outcome, report)
        if outcome:
            report.error = outcome
            self.broken.append(source.key)

    def load(self, target: str) -> Any:
        """Imports what a target points at, in this process: code of a plugin runs."""
        return load_from(self.files, target)

    def method(self, name: str) -> MethodInfo:
        """The method of this name. Raises UserError, with the nearest name, where there is none."""
        return self._find("method", self.methods, name)

    def workload(self, name: str) -> WorkloadInfo:
        """The workload of this name. Raises UserError, with the nearest name, where there is none."""
        return self._find("workload", self.workloads, name)

    def executor(self, name: str) -> ExecutorInfo:
        """The executor of this name. Raises UserError, with the nearest name, where there is none."""
        return self._find("executor", self.executors, name, f"there are {', '.join(self.executors)}")

    def _find(self, kind: str, known: dict[str, Info], name: str, listed: str = "") -> Info:
        if name in known:
            return known[name]
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        broken = [plugin.name for plugin in self.plugins if plugin.error]
        failed = f" (plugins that failed to load: {', '.join(broken)})" if broken else ""
        listed = listed or f"`actbench {kind}s` lists them"
        raise UserError(f"no {kind} {name!r}: {hint}{listed}{failed}")

    def _add(self, registration: Registration, report: PluginReport) -> str:
        """Adds everything and returns nothing, or says why it adds nothing."""
        tables: list[tuple[dict[str, Any], list[Any]]] = [
            (self.methods, registration.methods),
            (self.workloads, registration.workloads),
            (self.executors, registration.executors),
        ]
        for table, infos in tables:
            names = [info.name for info in infos]
            for place, name in enumerate(names):
                if name in table or name in names[:place]:
                    return f"ValueError: {name!r} is registered already; rename it"
        for table, infos in tables:
            table.update({info.name: info for info in infos})
            report.provides += [info.name for info in infos]
        return ""


def load_plugins(files: Iterable[Path] = ()) -> Registry:
    """All plugins, imported in this process: for workers and the conformance kit, which run their code anyway. The
    command line lists them with `actbench.listing`."""
    registry = Registry(files=tuple(files))
    for source in plugin_sources(registry.files):
        registry.take(source, attempt(source))
    return registry


def load_from(files: Iterable[Path], target: str) -> Any:
    """What a target points at, which may be in one of the plugin files."""
    module = target.partition(":")[0]
    for name, file in plugin_modules(files).items():
        if name == module:
            return getattr(load_file(file, name), target.partition(":")[2])
    return load_target(target)


def attempt(source: PluginSource) -> Registration | str:
    """Imports a plugin and returns what it registers, or in one line why it registers nothing."""
    try:
        return _load(source)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever code of others raises: SystemExit, and classes of its own
        return one_line_of(error)


def one_line_of(error: BaseException) -> str:
    """Type and message of an error, in one line without characters that a terminal would obey."""
    try:
        said = str(error)
    except Exception:
        said = ""
    return one_line(f"{type(error).__name__}: {said}")


def _load(source: PluginSource) -> Registration:
    plugin = source.load()
    _check_version(plugin)
    manager = pluggy.PluginManager(GROUP)  # one for each plugin: none meets another
    manager.add_hookspecs(hookspecs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        manager.register(plugin)
    manager.check_pending()
    notes = dict.fromkeys(one_line(str(warning.message)) for warning in caught)
    registration = Registration(notes=list(notes))
    manager.hook.register_methods(register=partial(_register, MethodInfo, registration.methods))
    manager.hook.register_workloads(register=partial(_register, WorkloadInfo, registration.workloads))
    manager.hook.register_executors(register=partial(_register, ExecutorInfo, registration.executors))
    return registration


def _register(kind: type[Any], registered: list[Any], info: Any) -> None:
    if not isinstance(info, kind):
        raise TypeError(f"registered {type(info).__name__}, not {kind.__name__}")
    if len(registered) == _MOST_REGISTERED:
        raise ValueError(f"registers more than {_MOST_REGISTERED} of {kind.__name__}")
    registered.append(info)


def _check_version(plugin: Any) -> None:
    """A plugin that declares none, a file of ten lines say, is taken as it is."""
    declared = getattr(plugin, API_ATTRIBUTE, hookspecs.API_VERSION)
    if declared != hookspecs.API_VERSION:
        older = isinstance(declared, int) and declared < hookspecs.API_VERSION
        mend = "a newer version of the plugin" if older else "a newer actbench"
        raise RuntimeError(
            f"made for version {declared} of actbench's plugin API, and this actbench has {hookspecs.API_VERSION}: "
            f"install {mend}"
        )
