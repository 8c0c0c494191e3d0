"""The plugin that brought a method: its package, its version, and a digest of its source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from actbench.info import MethodInfo
from actbench.plugin_sources import plugin_modules
from actbench.records.record import Plugin, Record
from actbench.registry import Registry


def plugin_of(method: str, registry: Registry) -> Plugin | None:
    """The plugin of a method; None where the method is not installed, or its source is not to be found."""
    info = registry.methods.get(method)
    report = next((plugin for plugin in registry.plugins if not plugin.error and method in plugin.provides), None)
    source = None if info is None else source_of(info, registry.files)
    if info is None or report is None or source is None:
        return None
    # A plugin that is a file has no package: its path is nobody's business.
    package = report.source if report.version else report.name
    return Plugin(package=package, version=report.version or info.version, source=source_digest(source))


def of_other_source(records: Sequence[Record], registry: Registry) -> list[str]:
    """The methods of records whose plugin has another source now, and the version that the records have."""
    now = {name: plugin_of(name, registry) for name in dict.fromkeys(record.cell.method.name for record in records)}
    changed = {
        record.cell.method.name
        for record in records
        if record.environment is not None
        and (then := record.environment.plugin) is not None
        and (plugin := now[record.cell.method.name]) is not None
        and plugin.source != then.source
    }
    return [name for name in now if name in changed]


def source_of(info: MethodInfo, files: Iterable[Path] = ()) -> Path | None:
    """The folder of the package that a method's class is in, or the file of a module that is in none; `files` are
    plugins that are files."""
    module = info.target.partition(":")[0]
    if module in (modules := plugin_modules(files)):
        return modules[module]
    try:
        spec = find_spec(module.rpartition(".")[0] or module)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)


def source_digest(source: Path) -> str:
    """SHA-256 over the names and contents of the Python files of a package's folder, or of one file."""
    files = [source] if source.is_file() else sorted(source.rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(source.parent).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
