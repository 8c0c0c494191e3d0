"""The plugin manager: finds plugins, keeps a broken one from stopping anybody, and lists what they provide."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pluggy

from actbench import hookspecs
from actbench.errors import UserError
from actbench.info import ExecutorInfo, MethodInfo, WorkloadInfo

GROUP = "actbench"
"""The entry-point group, the same for the reference methods and for third parties."""

RESTRICT = "ACTBENCH_PLUGINS"
"""Environment variable: names of the entry points to load, separated by commas; all where it is not set."""

API_ATTRIBUTE = "actbench_api"
"""A plugin's attribute: the version of the API that it was written for."""

BUILT_IN = ("actbench.workloads.registry", "actbench.harness.executors.registry")


_LONGEST_ERROR = 500


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
class Registry:
    """Everything that the loaded plugins provide, by name."""

    methods: dict[str, MethodInfo] = field(default_factory=dict)
    workloads: dict[str, WorkloadInfo] = field(default_factory=dict)
    executors: dict[str, ExecutorInfo] = field(default_factory=dict)
    plugins: list[PluginReport] = field(default_factory=list)

    def method(self, name: str) -> MethodInfo:
        """The method of this name. Raises UserError, with the nearest name, where there is none."""
        return self._find("method", self.methods, name)

    def workload(self, name: str) -> WorkloadInfo:
        """The workload of this name. Raises UserError, with the nearest name, where there is none."""
        return self._find("workload", self.workloads, name)

    def executor(self, name: str) -> ExecutorInfo:
        """The executor of this name. Raises UserError, with the nearest name, where there is none."""
        return self._find("executor", self.executors, name)

    def _find(self, kind: str, known: dict[str, Info], name: str) -> Info:
        if name in known:
            return known[name]
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        broken = [plugin.name for plugin in self.plugins if plugin.error]
        failed = f" (plugins that failed to load: {', '.join(broken)})" if broken else ""
        raise UserError(f"no {kind} {name!r}: {hint}`actbench {kind}s` lists them{failed}")


def load_plugins(files: Iterable[Path] = ()) -> Registry:
    """All plugins: the built-in ones, those installed under the entry-point group, and one-off `files`."""
    registry = Registry()
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    for name in BUILT_IN:
        _add(registry, manager, PluginReport(name, "built-in"), EntryPoint(name, name, GROUP).load)
    for entry in _installed():
        _add(registry, manager, _report_of(entry), entry.load)
    for file in files:
        if not file.is_file():
            raise UserError(f"plugin file {str(file)!r} does not exist")
        if file.suffix != ".py":
            raise UserError(f"plugin file {str(file)!r} is not a Python file: give one that ends in .py")
        _add(registry, manager, PluginReport(file.stem, str(file)), partial(_load_file, file))
    return registry


def _installed() -> list[EntryPoint]:
    installed = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    allowed = os.environ.get(RESTRICT)
    if allowed is None:
        return installed
    names = {name.strip() for name in allowed.split(",") if name.strip()}
    missing = sorted(names - {entry.name for entry in installed})
    if missing:
        raise UserError(f"{RESTRICT} names {missing[0]!r}, which is not installed")
    return [entry for entry in installed if entry.name in names]


def _report_of(entry: EntryPoint) -> PluginReport:
    distribution = entry.dist
    if distribution is None:
        return PluginReport(entry.name, entry.value)
    return PluginReport(entry.name, distribution.name, distribution.version)


def _add(registry: Registry, manager: pluggy.PluginManager, report: PluginReport, load: Callable[[], Any]) -> None:
    """Loads one plugin and takes in what it registers; whatever goes wrong is written into its report."""
    registry.plugins.append(report)
    plugin = None
    try:
        plugin = load()
        _check_version(plugin)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            manager.register(plugin, name=f"{report.name} ({report.source})")
        report.notes += dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught)
        manager.check_pending()
        _collect(registry, manager, plugin, report)
    except (Exception, SystemExit) as error:
        report.error = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_ERROR]
        if plugin is not None and manager.is_registered(plugin):
            manager.unregister(plugin)


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


def _collect(registry: Registry, manager: pluggy.PluginManager, plugin: Any, report: PluginReport) -> None:
    others = [other for other in manager.get_plugins() if other is not plugin]
    known: dict[str, tuple[type[Any], dict[str, Any]]] = {
        "register_methods": (MethodInfo, registry.methods),
        "register_workloads": (WorkloadInfo, registry.workloads),
        "register_executors": (ExecutorInfo, registry.executors),
    }
    registered: dict[str, dict[str, Any]] = {hook: {} for hook in known}
    for hook, (kind, table) in known.items():
        caller = manager.subset_hook_caller(hook, remove_plugins=others)
        caller(register=_registrar(kind, table, registered[hook]))
    for hook, (_, table) in known.items():  # all of what it provides, or nothing
        table.update(registered[hook])
        report.provides += registered[hook]


def _registrar(kind: type[Any], taken: dict[str, Any], registered: dict[str, Any]) -> Callable[[Any], None]:
    def register(info: Any) -> None:
        if not isinstance(info, kind):
            raise TypeError(f"registered {type(info).__name__}, not {kind.__name__}")
        if info.name in taken or info.name in registered:
            raise ValueError(f"{info.name!r} is registered already; rename it")
        registered[info.name] = info

    return register


def _load_file(file: Path) -> Any:
    name = _module_name(file)
    spec = spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # a lazy target f"{__name__}:Class" is found there
    spec.loader.exec_module(module)
    return module


def _module_name(file: Path) -> str:
    """The module's name: `actbench_plugin_<stem>`, with a number where another file of that name was there first."""
    name = base = "actbench_plugin_" + re.sub(r"\W", "_", file.stem)
    number = 1
    while name in sys.modules and sys.modules[name].__file__ != str(file):
        number += 1
        name = f"{base}_{number}"
    return name
