"""The commands in the READMEs of generated packages."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from actbench.scaffold.write import write_package
from tests.installed import install

COMMANDS = re.compile(r"```bash\n(.*?)```", re.DOTALL)


def commands(readme: Path) -> list[list[str]]:
    lines = [line for block in COMMANDS.findall(readme.read_text()) for line in block.splitlines()]
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


@pytest.mark.slow
@pytest.mark.parametrize(("template", "name"), [("method", "mean-residual"), ("workload", "textures")])
def test_every_command_works(template: Literal["method", "workload"], name: str, tmp_path: Path) -> None:
    """All of them but `pip install`, in whose place the package is put on the path, and its tests, run elsewhere."""
    write_package(template, name, tmp_path)
    package = tmp_path / f"actbench-{name}"
    environment = {**os.environ, "PYTHONPATH": str(install(package))}
    install_command, tests, *rest = commands(package / "README.md")
    assert install_command == ["pip", "install", "-e", ".[test]"]
    assert tests == ["pytest"]
    assert len(rest) == 2
    for program, *arguments in rest:
        assert program == "actbench"
        done = subprocess.run(
            [sys.executable, "-m", program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=package,
            env=environment,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
