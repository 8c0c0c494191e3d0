"""What was listed once is not imported again, until its code changes; a damaged cache is none."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from actbench.listing import plugins
from actbench.listing.plugins import list_plugins
from actbench.registry import load_plugins

PLUGIN = """
from actbench import MethodInfo, hookimpl

with open({log!r}, "a") as log:
    log.write("imported\\n")

@hookimpl
def register_methods(register):
    register(MethodInfo("kept", {title!r}, "a.b:C", "1"))
"""


class Plugin:
    """A plugin file that says how often it was imported."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "kept.py"
        self._log = folder / "log"

    def write(self, title: str) -> None:
        self.file.write_text(PLUGIN.format(log=str(self._log), title=title))

    def listed(self) -> str:
        return list_plugins([self.file]).method("kept").title

    @property
    def imports(self) -> int:
        return len(self._log.read_text().splitlines())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("ACTBENCH_CACHE", str(folder))
    monkeypatch.setenv("ACTBENCH_PLUGINS", "none")
    return folder


@pytest.fixture
def plugin(tmp_path: Path, cache: Path) -> Plugin:
    plugin = Plugin(tmp_path)
    plugin.write("A title")
    return plugin


def test_what_is_listed_is_what_is_loaded() -> None:
    listed, loaded = list_plugins(), load_plugins()
    assert listed == loaded
    assert list(listed.methods) == list(loaded.methods)
    assert list_plugins() == loaded


def test_a_plugin_is_imported_once(plugin: Plugin, cache: Path) -> None:
    assert [plugin.listed() for _ in range(3)] == ["A title"] * 3
    assert plugin.imports == 1
    assert cache.stat().st_mode & 0o77 == 0


def test_a_warm_cache_starts_no_process(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin.listed()
    asked: list[object] = []
    monkeypatch.setattr(plugins, "carry_out", lambda tasks, seconds: asked.extend(tasks) or [])
    assert plugin.listed() == "A title"
    assert asked == []


def test_a_changed_file_is_imported_again(plugin: Plugin) -> None:
    plugin.listed()
    state = plugin.file.stat()
    plugin.write("B title")
    os.utime(plugin.file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert plugin.listed() == "B title"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[" * 10**5,
        lambda text: "5",
        lambda text: text.replace('"A title"', "5"),
        lambda text: text.replace('"kept"', '"two\\nlines"'),
        lambda text: text.replace("methods", "nothing"),
        lambda text: text.replace('"title"', '"name"'),
        lambda text: " " * (1 << 25) + text,
    ],
)
def test_a_damaged_cache_is_none(damage: Callable[[str], str], plugin: Plugin, cache: Path) -> None:
    plugin.listed()
    for file in cache.iterdir():
        file.write_text(damage(file.read_text()))
    assert plugin.listed() == "A title"
    assert plugin.imports == 2
    assert all(json.loads(file.read_text()) for file in cache.iterdir())


@pytest.mark.parametrize("broken", ["raise RuntimeError", "import os; os._exit(3)"])
def test_a_failure_is_not_kept(broken: str, plugin: Plugin) -> None:
    plugin.file.write_text(broken)
    assert list_plugins([plugin.file]).plugins[-1].error
    plugin.write("Mended")
    assert plugin.listed() == "Mended"


@pytest.mark.parametrize("place", ["", "/dev/null/cache"])
def test_without_a_cache(place: str, plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTBENCH_CACHE", place)
    assert [plugin.listed() for _ in range(2)] == ["A title"] * 2
    assert plugin.imports == 2


def test_a_package_is_seen_to_change_without_being_imported(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, metadata = tmp_path / "a_package", tmp_path / "a_package-1.dist-info"
    package.mkdir()
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: a-package\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[actbench]\npackaged = a_package.deep\n")
    (package / "__init__.py").write_text("")
    (package / "deep.py").write_text("from a_package.part import register_methods")
    (package / "part.py").write_text(PLUGIN.format(log=str(tmp_path / "log"), title="A title"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("ACTBENCH_PLUGINS", "packaged")
    assert [list_plugins().method("kept").title for _ in range(2)] == ["A title"] * 2
    (package / "part.py").write_text(PLUGIN.format(log=str(tmp_path / "log"), title="Another title"))
    assert list_plugins().method("kept").title == "Another title"
    assert (tmp_path / "log").read_text() == "imported\n" * 2
    assert list_plugins().plugins[-1].source == "a-package"


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan", "inf"])
def test_a_limit_that_is_none(seconds: str, plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTBENCH_PLUGIN_SECONDS", seconds)
    with pytest.raises(plugins.UserError, match="ACTBENCH_PLUGIN_SECONDS='"):
        plugin.listed()
