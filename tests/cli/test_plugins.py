"""Plugins on the command line: switched off, printing, broken."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PRINTING = """
import os
from actbench import MethodInfo, WorkloadInfo, hookimpl

print("[at import]")

class Network: ...

def identify(data, weights):
    print("[in identify]")
    os.write(1, b"[to descriptor 1]")
    return {"data": "1"}

@hookimpl
def register_methods(register):
    print("[in register_methods]")
    register(MethodInfo("printing", "Prints", f"{__name__}:Network", "1"))

@hookimpl
def register_workloads(register):
    register(WorkloadInfo("printed", "Prints", f"{__name__}:Network", f"{__name__}:identify", "top-1"))
"""

LEAVING = "import os\nopen({log!r}, 'a').write('imported, ')\nos._exit(3)\n"


def actbench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "actbench", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


def methods(*options: str, **environment: str) -> set[str]:
    done = actbench(*options, "methods", "--json", **environment)
    assert done.returncode == 0, done.stderr
    return {info["name"] for info in json.loads(done.stdout)}


def test_plugins_are_switched_off() -> None:
    everything = methods()
    assert {"wcc", "fatrelu"} <= everything
    assert methods("-p", "no:wcc") == everything - {"wcc"}
    assert methods("-p", "no:wcc", "-p", "no:fatrelu") == everything - {"wcc", "fatrelu"}


def test_switches_meet_what_the_environment_allows() -> None:
    assert methods(ACTBENCH_PLUGINS="none,wcc") == {"none", "mechanism", "wcc"}
    assert methods("-p", "no:wcc", ACTBENCH_PLUGINS="none,wcc") == {"none", "mechanism"}


def test_a_near_miss_is_answered_without_what_is_off() -> None:
    done = actbench("-p", "no:wcc", "run", "--methods", "wcc", "--dry-run")
    assert done.returncode == 2
    assert "no method 'wcc'" in done.stderr


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("no:wc", "did you mean wcc?"),
        ("no:nothing-like-it", "no such plugin is installed; `actbench plugins`"),
        ("no:", "no such plugin is installed"),
        ("wcc", "write no:NAME"),
        ("", "write no:NAME"),
    ],
)
def test_a_switch_that_means_nothing(option: str, says: str) -> None:
    done = actbench("-p", option, "methods")
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_restriction_to_what_is_not_installed() -> None:
    done = actbench("methods", ACTBENCH_PLUGINS="none,wc")
    assert done.returncode == 2
    assert "ACTBENCH_PLUGINS names 'wc'" in done.stderr


def test_a_print_does_not_break_json(tmp_path: Path) -> None:
    plugin = tmp_path / "printing.py"
    plugin.write_text(PRINTING)
    for verb in ("methods", "workloads", "plugins"):
        done = actbench(verb, "--plugin", str(plugin), "--json", ACTBENCH_CACHE="")
        assert "print" in {one["name"][:5] for one in json.loads(done.stdout)}
        assert done.stderr == ""
    planned = actbench(
        *("run", "--methods", "printing", "--workload", "printed", "--results", str(tmp_path)),
        *("--plugin", str(plugin), "--dry-run", "--json"),
    )
    assert {cell["spec"]["method"]["name"] for cell in json.loads(planned.stdout)} >= {"none", "printing"}


@pytest.mark.slow
def test_a_plugin_that_leaves_takes_no_worker_along(tmp_path: Path) -> None:
    plugin, log = tmp_path / "leaving.py", tmp_path / "log"
    plugin.write_text(LEAVING.format(log=str(log)))
    done = actbench(
        *("run", "--methods", "none", "--limit", "8", "--results", str(tmp_path / "results"), "--json"),
        *("--device", "cpu", "--plugin", str(plugin)),
    )
    assert done.returncode == 0, done.stderr
    assert {record["status"] for record in json.loads(done.stdout)} <= {"ok", "unsupported"}
    assert log.read_text() == "imported, "
