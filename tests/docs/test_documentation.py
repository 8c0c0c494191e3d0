"""What the documentation says is so: its reference, its commands, its plugins."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from actbench import hookspecs
from actbench.scaffold.write import write_package
from actbench.testing import CHECKS, Subject, conduct
from tests.installed import install

DOCS = Path(__file__).parents[2] / "docs"
PROGRAM = re.compile(r'```python title="(.*?)"\n(.*?)```', re.DOTALL)
SUITE = re.compile(r'```toml title="(.*?)"\n(.*?)```', re.DOTALL)
COMMANDS = re.compile(r"```bash\n(.*?)```", re.DOTALL)


def programs(page: str) -> dict[str, str]:
    return dict(PROGRAM.findall((DOCS / page).read_text()))


def run(command: str, folder: Path, path: str = "") -> subprocess.CompletedProcess[str]:
    """A command of the documentation, with the actbench that is tested."""
    words = command.split()
    assert words[0] == "actbench", command
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, check=False, cwd=folder, env=environment
    )


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_reference", DOCS / "write_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_code_says(writer: ModuleType) -> None:
    assert (DOCS / "reference.md").read_text() == writer.reference(), "run `python docs/write_reference.py`"


def test_every_hook_has_its_signature_and_a_test(writer: ModuleType) -> None:
    hooks = writer.hooks()
    assert len(hooks) == len([name for name in vars(hookspecs) if name.startswith("register_")]) == 3
    tests = (DOCS.parent / "tests" / "test_hooks.py").read_text()
    for hook in hooks:
        assert f"### `{writer.signature(hook)}`" in (DOCS / "reference.md").read_text()
        assert f"def test_{hook.__name__}(" in tests


@pytest.mark.parametrize(("name", "code"), programs("gallery.md").items())
def test_the_gallery_holds_to_the_rules(name: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(code)
    found = conduct(Subject(path.stem, plugin_files=[path]), CHECKS[1:])
    assert [check for check in found.checks if check.status == "failed"] == []


@pytest.mark.slow
def test_the_diary(tmp_path: Path) -> None:
    ((name, code),) = programs("extending.md").items()
    (tmp_path / name).write_text(code)
    (command,) = COMMANDS.findall((DOCS / "extending.md").read_text())
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "wcc 4x w8a2-8: ok" in (tmp_path / "diary.txt").read_text()


@pytest.mark.slow
def test_a_network_and_images_of_ones_own(tmp_path: Path) -> None:
    page = (DOCS / "your-own.md").read_text()
    for name, code in programs("your-own.md").items():
        (tmp_path / name).write_text(code)
    ((name, suite),) = SUITE.findall(page)
    (tmp_path / name).write_text(suite)
    for command in COMMANDS.findall(page):
        done = run(command, tmp_path)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    assert "4 of 4 cells" in done.stdout
    assert (tmp_path / "results" / "suites" / "nets-halving.toml").is_file()


def test_the_tutorial_from_nothing_to_a_published_row(tmp_path: Path) -> None:
    """All of its commands but `pip install`: in its place the package is put on the path with its entry point."""
    commands = [command.strip() for command in COMMANDS.findall((DOCS / "tutorial.md").read_text())]
    ((place, code),) = programs("tutorial.md").items()
    package = tmp_path / "actbench-mean-residual"
    assert commands[0] == "pip install ."
    for command in commands[1:]:
        if command.startswith("pip"):
            assert command == 'pip install -e "actbench-mean-residual[test]"'
            install(package)
            (tmp_path / place).write_text(code)
            continue
        done = run(command, tmp_path, str(package / "src"))
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    page = (tmp_path / "leaderboards" / "methods" / "mean-residual.html").read_text()
    assert "✓ " in page, "the badge"
    assert page.count(">record</a>") == 2
    board = (tmp_path / "leaderboards" / "boards" / "shapes" / "README.md").read_text()
    assert re.search(r"\| \d+ \| mean-residual \| 4x \|", board)


@pytest.mark.parametrize(("name", "said"), [("compress.py", "True"), ("train.py", "bytes are kept for the gradients")])
def test_the_programs_in_python(name: str, said: str, tmp_path: Path) -> None:
    """As they stand there, but that torchvision is imported as everywhere in actbench."""
    ready = "from actbench.workloads.torchvision_import import torchvision; torchvision('torchvision.models')"
    (tmp_path / name).write_text(f"{ready}\n{programs('python.md')[name]}")
    done = subprocess.run([sys.executable, name], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(said)


def test_the_export(tmp_path: Path) -> None:
    """The program; the command is run in `tests/cli/test_export.py`."""
    ((name, code),) = programs("export.md").items()
    (tmp_path / name).write_text(code)
    done = subprocess.run([sys.executable, name], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "top-1 is the same in 16 of 16" in done.stdout


def test_the_packages_of_third_parties_are_those_that_are_documented(tmp_path: Path) -> None:
    """`tests/downstream`, which only its own environment installs."""
    downstream = DOCS.parent / "tests" / "downstream"
    ((place, code),) = programs("tutorial.md").items()
    written = write_package("method", "mean-residual", tmp_path) + write_package("workload", "textures", tmp_path)
    (tmp_path / place).write_text(code)
    for path in written:
        assert (downstream / path.relative_to(tmp_path)).read_text() == path.read_text(), path


def test_every_page_is_in_the_navigation() -> None:
    listed = (DOCS.parent / "mkdocs.yml").read_text()
    for page in DOCS.rglob("*.md"):
        assert f" {page.relative_to(DOCS).as_posix()}\n" in listed


def test_the_seams_name_tests_that_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (DOCS / "architecture.md").read_text())
    assert len(named) >= 20
    for path, test in named:
        assert f"def {test}(" in (DOCS.parent / path).read_text(), f"{path}::{test}"
