"""Which plugin brought a method: said by the parent, which runs none of its code, and not by the worker."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from actbench.harness.executors import CellResult
from actbench.harness.run import to_record
from actbench.harness.source import plugin_of, source_digest, source_of
from actbench.info import MethodInfo
from actbench.records.record import Plugin
from actbench.registry import load_plugins
from actbench.spec import CellSpec
from tests.records import whole

PLUGIN = """
from actbench import MethodInfo, hookimpl

@hookimpl
def register_methods(register):
    register(MethodInfo("mine", "Mine", f"{__name__}:Mine", "7"))
"""


def test_an_installed_plugin_is_its_package() -> None:
    registry = load_plugins()
    plugin = plugin_of("wcc", registry)
    assert plugin is not None
    assert (plugin.package, plugin.version) == ("actbench", next(p.version for p in registry.plugins if p.version))
    source = source_of(registry.method("wcc"))
    assert source is not None
    assert (source / "method.py").exists()
    assert plugin.source == source_digest(source)
    assert plugin_of("gone", registry) is None


def test_a_plugin_that_is_a_file_is_that_file_and_says_not_where(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    plugin = plugin_of("mine", load_plugins([file]))
    assert plugin == Plugin(package="mine", version="7", source=source_digest(file))
    file.write_text(PLUGIN + "# another comment\n")
    assert source_digest(file) != plugin.source


def test_a_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    def package(name: str, files: dict[str, str]) -> str:
        for file, text in files.items():
            path = tmp_path / name / "package" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return source_digest(tmp_path / name / "package")

    first = package("a", {"__init__.py": "", "one.py": "x = 1"})
    assert package("b", {"__init__.py": "", "one.py": "x = 1", "notes.txt": "not source"}) == first
    assert package("c", {"__init__.py": "", "two.py": "x = 1"}) != first
    assert package("d", {"__init__.py": "x = 1", "one.py": ""}) != first
    assert package("e", {"__init__.py": "", "one.py": "x = 1", "deep/two.py": ""}) != first


@pytest.mark.parametrize("target", ["gone_package.method:C", "gone:C"])
def test_what_is_not_to_be_found_has_no_source(target: str) -> None:
    assert source_of(MethodInfo("m", "M", target, "1")) is None


def result(cell: CellSpec, **more: object) -> CellResult:
    environment = whole.inference()["environment"]
    fields = {"status": "ok", "started": "now", "seconds": 1.0, "environment": environment} | more
    return CellResult(cell, **fields)  # type: ignore[arg-type]


def test_a_worker_does_not_say_which_plugin_it_runs(cell: CellSpec) -> None:
    known = Plugin(package="mine", version="7", source="cd" * 32)
    for plugin in (known, None):
        record = to_record(result(cell), plugin)
        assert record.environment is not None
        assert record.environment.plugin == plugin


@pytest.mark.parametrize(
    "make", [lambda: whole.inference(), lambda: whole.at(whole.inference(), "measurements", "seed", to=1)]
)
def test_measurements_that_cannot_be_are_an_invalid_cell(make: Callable[[], dict], cell: CellSpec) -> None:
    """A worker's answer says whatever the plugin makes it say: here what belongs to another ceiling, or to nothing."""
    record = to_record(result(cell, measurements=make()["measurements"]))
    assert record.status == "invalid"
    assert record.reason.startswith("measured ")
    assert asdict(record.cell) == asdict(cell)
