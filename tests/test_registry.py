"""Plugins are found, a broken one stops nobody, and loading them is cheap."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actbench.errors import UserError
from actbench.info import load_target
from actbench.registry import RESTRICT, PluginReport, Registry, load_plugins

HEAD = """
import sys
from actbench import MethodInfo, UserError, WorkloadInfo, hookimpl

def info(name, target="package.module:Class"):
    return MethodInfo(name, "A title", target, "1")
"""

REGISTER = """
@hookimpl
def register_methods(register):
    {body}
"""

BROKEN = {
    "raises": ("raise RuntimeError('no such luck')", "no such luck"),
    "raises-on-a-second-line": ("raise RuntimeError('\\nno such luck')", "no such luck"),
    "raises-a-user-error": ("raise UserError('no such luck')", "no such luck"),
    "exits": ("sys.exit(3)", "SystemExit"),
    "does-not-parse": ("def (", "SyntaxError"),
    "needs-what-is-not-there": ("import not_a_module", "not_a_module"),
    "raises-in-the-hook": (REGISTER.format(body="raise KeyError('deep')"), "deep"),
    "exits-in-the-hook": (REGISTER.format(body="sys.exit(3)"), "SystemExit"),
    "twice": (
        REGISTER.format(body="register(info('twice')), register(info('twice'))"),
        "'twice' is registered already",
    ),
    "taken": (REGISTER.format(body="register(info('quantize'))"), "'quantize' is registered already"),
    "bad-name": (REGISTER.format(body="register(info('Bad Name'))"), "'Bad Name'"),
    "bad-target": (REGISTER.format(body="register(info('fine', 'nowhere'))"), "'nowhere'"),
    "no-info": (REGISTER.format(body="register('name')"), "str"),
    "wrong-info": (
        REGISTER.format(body="register(WorkloadInfo('w', 'A title', 'm:C', 'm:i', 'top-1'))"),
        "WorkloadInfo",
    ),
    "wrong-argument": ("@hookimpl\ndef register_methods(registrar): pass", "registrar"),
    "unknown-hook": ("@hookimpl\ndef register_metods(register): pass", "register_metods"),
}

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Writes a plugin file; what it leaves in sys.modules goes again."""
    before = set(sys.modules)

    def write_plugin(name: str, body: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEAD + body)
        return path

    yield write_plugin
    for name in set(sys.modules) - before:
        if name.startswith("actbench_plugin_"):
            del sys.modules[name]


def report(registry: Registry, name: str) -> PluginReport:
    return next(plugin for plugin in registry.plugins if plugin.name == name)


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_listed_and_stops_nobody(case: str, write: Write) -> None:
    body, reason = BROKEN[case]
    files = [write("broken.py", body), write("sound.py", REGISTER.format(body="register(info('sound'))"))]
    registry = load_plugins(files)
    error = report(registry, "broken").error
    assert reason in error
    assert len(error.splitlines()) == 1
    assert report(registry, "sound") == PluginReport("sound", str(files[1]), provides=["sound"])
    assert registry.method("sound").title == "A title"
    assert {"none", "quantize"} <= set(registry.methods)
    assert not [plugin for plugin in registry.plugins if plugin.error and plugin.name != "broken"]


def test_an_interrupt_is_not_a_broken_plugin(write: Write) -> None:
    with pytest.raises(KeyboardInterrupt):
        load_plugins([write("slow.py", "raise KeyboardInterrupt")])


@pytest.mark.parametrize("name", ["missing.py", "folder", "plugin.txt"])
def test_a_file_that_is_no_plugin_is_the_users_mistake(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "plugin.txt").write_text("")
    with pytest.raises(UserError, match=name) as caught:
        load_plugins([tmp_path / name])
    assert len(str(caught.value).splitlines()) == 1


def test_a_plugin_file_may_point_at_its_own_classes(write: Write) -> None:
    body = REGISTER.format(body="register(info({name!r}, f'{{__name__}}:Class'))") + "\nclass Class: home = {name!r}\n"
    names = {"one": "here/plugin.py", "two": "there/plugin.py", "three": "my-plugin.py"}
    registry = load_plugins([write(path, body.format(name=name)) for name, path in names.items()])
    assert [plugin.error for plugin in registry.plugins if plugin.error] == []
    assert [load_target(registry.method(name).target).home for name in names] == list(names)


def test_the_reference_methods_come_through_entry_points() -> None:
    registry = load_plugins()
    assert [plugin.error for plugin in registry.plugins if plugin.error] == []
    for name in ("none", "prochan", "quantize", "wcc"):
        assert name in report(registry, name).provides
        assert report(registry, name).source == "actbench"
    assert registry.method("none").role == "reference"
    assert registry.method("quantize").role == "baseline"
    assert registry.workload("shapes").name == "shapes"
    assert registry.executor("local").name == "local"


@pytest.mark.parametrize(
    ("names", "found"), [("quantize", {"quantize"}), (" none , quantize ,", {"none", "mechanism", "quantize"})]
)
def test_plugins_can_be_restricted(names: str, found: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RESTRICT, names)
    assert set(load_plugins().methods) == found


def test_restriction_leaves_files_and_what_is_built_in(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RESTRICT, "")
    registry = load_plugins([write("mine.py", REGISTER.format(body="register(info('mine'))"))])
    assert set(registry.methods) == {"mine"}
    assert registry.workloads
    assert registry.executors


def test_executors_are_named_where_one_is_unknown() -> None:
    """No command lists them."""
    with pytest.raises(UserError, match="there are local, dask"):
        load_plugins().executor("nosuch")


def test_a_restriction_to_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RESTRICT, "none,quantise")
    with pytest.raises(UserError, match=f"{RESTRICT} names 'quantise'"):
        load_plugins()


def test_a_near_miss_is_answered_with_the_name(write: Write) -> None:
    registry = load_plugins([write("broken.py", "raise RuntimeError")])
    for find, wrong, right in (
        (registry.method, "quantise", "quantize"),
        (registry.workload, "shape", "shapes"),
        (registry.executor, "locale", "local"),
    ):
        with pytest.raises(UserError, match=f"did you mean {right}") as caught:
            find(wrong)
        assert "broken" in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(UserError) as caught:
        registry.method("xyz\n")
    assert "did you mean" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_listing_plugins_imports_no_torch() -> None:
    code = "import sys, actbench.registry as p; print(len(p.load_plugins().methods), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    count, torch_loaded = done.stdout.split()
    assert int(count) >= 2
    assert torch_loaded == "False"
