"""The package holds what the repository holds."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from zipfile import ZipFile

import pytest

from actbench.registry import load_plugins

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BINARY = (".pyc", ".safetensors")


def packages(folder: str, name: str) -> set[str]:
    found = (path.parent.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("__init__.py"))
    return {".".join((name, *path.parts)) for path in found}


def plugin_folders() -> set[str]:
    return {path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py")}


def test_every_folder_is_packaged() -> None:
    expected = packages("actbench", "actbench") | packages("plugins", "actbench_plugins")
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == expected


def test_every_plugin_has_its_entry_point() -> None:
    declared = PROJECT["project"]["entry-points"]["actbench"]
    assert {name: target.rpartition(".")[2] for name, target in declared.items()} == {n: n for n in plugin_folders()}
    assert plugin_folders() <= {entry.name for entry in entry_points(group="actbench")}


@pytest.mark.slow
def test_what_an_earlier_build_left_is_not_packaged(tmp_path: Path) -> None:
    source, left = tmp_path / "source", tmp_path / "source" / "build" / "lib" / "actbench"
    for folder in ("actbench", "plugins"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("LICENSE", "README.md", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / file, source)
    left.mkdir(parents=True)
    for name in ("deleted.py", "spec.py"):
        (left / name).write_text("stale = True")
        os.utime(left / name, (4e9, 4e9))  # newer than the source, so that it would be kept
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--quiet", "--wheel-dir", str(tmp_path)]
    subprocess.run(command, cwd=source, check=True)
    with ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        assert "actbench/deleted.py" not in wheel.namelist()
        assert wheel.read("actbench/spec.py") == (ROOT / "actbench" / "spec.py").read_bytes()


def test_every_method_has_a_page() -> None:
    index = (ROOT / "docs" / "methods" / "index.md").read_text().partition("## All methods")[2]
    for name in load_plugins().methods:
        row = next((line for line in index.splitlines() if f"`{name}`" in line), "")
        page = row.rpartition("](")[2].partition(")")[0]
        assert page, f"{name} has no row in the index"
        assert f"`{name}`" in (ROOT / "docs" / "methods" / page).read_text()


def names_in_code(text: str, names: set[str]) -> set[str]:
    """Finds the names that stand in a text as code: in quotes or back-ticks, alone, in a list or before an option,
    after `--methods`, or in the path of a plugin. As words they may: a checkpoint, a projection."""
    before, after = r"(?:[\w-]+,)*", r"(?:,[\w-]+)*"
    quoted = rf"""["'`]{before}%s(?:{after}["'`]|\.\w+=)"""
    bare = rf"(?:--methods?[ =]{before}|plugins[./])%s(?![\w-])"
    return {name for name in names if re.search(f"{quoted % name}|{bare % name}", text)}


def test_the_core_names_no_method() -> None:
    names = (set(load_plugins().methods) | plugin_folders()) - {"none"}
    for path in (path for path in (ROOT / "actbench").rglob("*") if path.is_file() and path.suffix not in BINARY):
        named = names_in_code(path.read_text("utf-8"), names)
        assert not named, f"{path} names {', '.join(sorted(named))}"


@pytest.mark.parametrize(
    "text",
    [
        'method == "group-quantize"',
        "'group-quantize'",
        "`group-quantize`",
        "run --methods group-quantize --ceilings 4x",
        "run --methods none,group-quantize\n",
        '"none,group-quantize,svd"',
        '"group-quantize.width=4"',
        "plugins/group-quantize/method.py",
    ],
)
def test_a_name_in_code_is_seen(text: str) -> None:
    assert names_in_code(text, {"group-quantize", "quantize"}) == {"group-quantize"}


def test_a_name_as_a_word_is_none() -> None:
    text = 'f"checkpoint {path} does not fit", a checkpoint, "my-checkpoint", `checkpoints`, quantize(x), --checkpoint'
    assert names_in_code(text, {"checkpoint", "quantize"}) == set()
