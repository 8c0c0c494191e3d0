"""No plugin that is listed stops a command, changes what it prints, or keeps others out of the list."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from tests.listing.hostile_plugins import FINE, HEAD, HOSTILE

LIMITS = {"ACTBENCH_PLUGIN_SECONDS": "2"}


def actbench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "actbench", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **LIMITS, **environment},
    )


def listed(verb: str, *files: Path) -> list[dict[str, Any]]:
    done = actbench(verb, "--json", *(argument for file in files for argument in ("--plugin", str(file))))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answer: list[dict[str, Any]] = json.loads(done.stdout)
    return answer


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def write_plugin(name: str, body: str) -> Path:
        file = tmp_path / f"{name}.py"
        file.write_text(HEAD + body)
        return file

    return write_plugin


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_plugin_is_listed_and_stops_nobody(case: str, write: Callable[[str, str], Path]) -> None:
    body, error = HOSTILE[case]
    files = [write("bad", body), write("sound", FINE.replace("fine", "sound"))]
    reports = {report["name"]: report for report in listed("plugins", *files)}
    said = reports["bad"]["error"]
    assert error in said
    assert said.isprintable()
    assert len(said) <= 500
    assert all(note.isprintable() for note in reports["bad"]["notes"])
    assert reports["sound"]["provides"] == ["sound"]
    assert [name for name, report in reports.items() if report["error"] and name != "bad"] == []


@pytest.mark.slow
@pytest.mark.parametrize("case", HOSTILE)
def test_methods_are_listed_beside_a_hostile_plugin(case: str, write: Callable[[str, str], Path]) -> None:
    names = {info["name"] for info in listed("methods", write("bad", HOSTILE[case][0]))}
    assert {"none", "quantize", "prochan", "wcc"} <= names
    assert "bad" not in names


def test_nothing_that_a_plugin_started_goes_on(write: Callable[[str, str], Path], tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    body = f"os.fork(); os.fork()\nopen({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\ntime.sleep(1000)"
    listed("methods", write("bad", body))
    started = [int(line) for line in pids.read_text().split()]
    assert len(started) == 4
    assert not [pid for pid in started if running(pid)]


def test_nothing_goes_on_when_the_command_is_killed(write: Callable[[str, str], Path], tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    bad = write("bad", f"open({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(1000)")
    command = subprocess.Popen([sys.executable, "-m", "actbench", "methods", "--plugin", str(bad)])
    waited(lambda: pid.exists() and pid.read_text() != "")
    command.kill()
    command.wait()
    waited(lambda: not running(int(pid.read_text())))


def waited(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + 20
    while not condition():
        assert monotonic() < deadline


def running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_file_in_the_working_folder_stands_in_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError")
    lines = (
        "import sys",
        "sys.path.remove('')",
        "from actbench.listing.plugins import list_plugins",
        "print(len(list_plugins().methods))",
    )
    environment = {**os.environ, "ACTBENCH_CACHE": ""}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert int(done.stdout) > 2, done.stderr
