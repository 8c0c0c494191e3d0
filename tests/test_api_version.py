"""Versions of the plugin API, and hooks that will go."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pluggy
import pytest

from actbench import hookspecs
from actbench import registry as plugins
from actbench.registry import load_plugins

PLUGIN = """
from actbench import MethodInfo, hookimpl
{declaration}

@hookimpl
def register_methods(register):
    register(MethodInfo("versioned", "Versioned", "a.b:C", "1"))
"""


def written(folder: Path, declaration: str) -> Path:
    path = folder / "versioned.py"
    path.write_text(textwrap.dedent(PLUGIN.format(declaration=declaration)))
    return path


@pytest.mark.parametrize("declaration", ["", f"actbench_api = {hookspecs.API_VERSION}"])
def test_a_fitting_version_or_none(tmp_path: Path, declaration: str) -> None:
    assert "versioned" in load_plugins([written(tmp_path, declaration)]).methods


@pytest.mark.parametrize(
    ("version", "mend"), [("3", "install a newer actbench"), ("1", "a newer version of the plugin"), ("'x'", "newer")]
)
def test_another_version_is_an_error_of_that_plugin_alone(tmp_path: Path, version: str, mend: str) -> None:
    registry = load_plugins([written(tmp_path, f"actbench_api = {version}")])
    assert "versioned" not in registry.methods
    assert "none" in registry.methods
    report = registry.plugins[-1]
    assert "plugin API" in report.error
    assert mend in report.error


def test_a_deprecated_hook_is_noted_and_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def register_methods(register: Callable[[object], None]) -> None: ...

    deprecated = pluggy.HookspecMarker("actbench")(
        register_methods, warn_on_impl=DeprecationWarning("register_methods goes with API 2: use register_plugins")
    )
    specs = ModuleType("specs")
    for name in ("register_workloads", "register_executors", "API_VERSION"):
        setattr(specs, name, getattr(hookspecs, name))
    specs.register_methods = deprecated  # type: ignore[attr-defined]
    monkeypatch.setattr(plugins, "hookspecs", specs)
    registry = load_plugins([written(tmp_path, "")])
    assert "versioned" in registry.methods
    assert any("use register_plugins" in note for note in registry.plugins[-1].notes)
    assert SimpleNamespace(**vars(registry.plugins[-1])).error == ""
