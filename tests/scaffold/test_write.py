"""Packages as they are generated: their names, and that they work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actbench.errors import UserError
from actbench.scaffold.write import write_package


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, cwd=folder, env=environment
    )


@pytest.mark.parametrize("name", ["", "Mine", "mean_residual", "a b", "-x", "x-", "../up", "class", "x" * 51])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="lower-case words"):
        write_package("method", name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_package("method", "mine", tmp_path)
    with pytest.raises(UserError, match="is there already"):
        write_package("workload", "mine", tmp_path)


def test_the_files_of_a_method(tmp_path: Path) -> None:
    written = {path.relative_to(tmp_path).as_posix() for path in write_package("method", "mean-residual", tmp_path)}
    assert written == {
        "actbench-mean-residual/.github/workflows/test.yml",
        "actbench-mean-residual/.gitignore",
        "actbench-mean-residual/README.md",
        "actbench-mean-residual/pyproject.toml",
        "actbench-mean-residual/src/actbench_mean_residual/__init__.py",
        "actbench-mean-residual/src/actbench_mean_residual/method.py",
        "actbench-mean-residual/tests/test_conformance.py",
    }
    for path in tmp_path.rglob("*.py"):
        compile(path.read_text(), str(path), "exec")
        assert "{{" not in path.read_text()


def test_a_generated_method_holds_to_every_check(tmp_path: Path) -> None:
    """As a plugin file: installed as a package it is tried in the `downstream` environment."""
    write_package("method", "mean-residual", tmp_path)
    folder = tmp_path / "actbench-mean-residual"
    plugin = folder / "src" / "actbench_mean_residual" / "__init__.py"
    done = run("-m", "actbench", "check", "mean-residual", "--plugin", str(plugin), folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout


def test_a_generated_workload_passes_its_tests_and_runs(tmp_path: Path) -> None:
    write_package("workload", "textures", tmp_path)
    folder = tmp_path / "actbench-textures"
    tests = run("-m", "pytest", "-q", "-p", "no:cacheprovider", folder=folder)
    assert "2 passed" in tests.stdout, tests.stdout + tests.stderr
    plugin = str(folder / "src" / "actbench_textures" / "__init__.py")
    base = ["-m", "actbench", "run", "--plugin", plugin, "--workload", "textures"]
    done = run(*base, "--methods", "none", "--ceilings", "4x", "--device", "cpu", "--limit", "40", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "quantize" in done.stdout
