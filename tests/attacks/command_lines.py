"""Wrong command lines, one line and exit code 2 each; and interrupts, one line and exit code 130."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.attacks.attempt import Kind, one_by_one
from tests.attacks.commands import actbench, check_refused
from tests.cli.test_interruption import READY, let_interrupts_through
from tests.cli.test_wrong_usage import LINES, LONG, MANY

STRANGE = ["\udcff", "\x1b[2J", LONG, "a\0b", "", "/proc/self/mem", "pipe", "a file", "deep.toml"]
"""In the place of a file or a folder."""

MORE: list[list[str]] = [
    *(["publish", "--results", value] for value in STRANGE),
    *(["verify", value] for value in STRANGE),
    *(["submit", value, "--to", "."] for value in STRANGE),
    *(["compare", value, value] for value in STRANGE),
    *(["show", value] for value in STRANGE),
    *(["maps", "--workload", "shapes", "--weights", value] for value in STRANGE),
    *(["run", "--suite", value] for value in STRANGE),
    *(["check", value] for value in STRANGE),
    *(["new-method", value] for value in ("../x", "-", "a b", "\x1b", "é", MANY)),
    *(["new-workload", value] for value in ("../x", "-", "a b", "\x1b", "é", MANY)),
    *(["submit", "a file", "--to", value] for value in ("a file", LONG, "gone")),
    *(["layer", "--shape", value] for value in ("", "1", "a,b,c,d", "1,1,1,-1", "1,1,1,1,1", f"{MANY},1,1,1")),
    *(["maps", "--model", value] for value in ("torchvision:", "os:getcwd", "gone:f", "\x1b:x", "a", "json:loads")),
    *(["methods", value] for value in ("--plugin", "--nonsense", "x")),
    *(["-p", value, "methods"] for value in ("no:", "x", "no:\x1b[2J", "no:\udcff", "")),
    ["run", "--methods", "none", "--track", "racing"],
    ["run", "--methods", "none", "--device", "tpu"],
    ["run", "--methods", "none", "--retry", "all"],
    ["run", "--methods", "none", "--stripe", "-1"],
    ["run", "--methods", "none", "--recipe", "mine"],
    ["run", "--methods", "none", "--executor", "os:system"],
    ["publish", "--results", ".", "--out", "a file/below"],
    ["verify", "a file", "--save", "--environment-only"],
    ["verify", "a file", "--timeout", "nan"],
]


def attempts(chance: random.Random) -> Mapping[str, list[str] | float]:
    """Lines of arguments; and moments, in seconds, at which a run is interrupted."""
    lines = {ascii(" ".join(line))[:150] + f" #{number}": line for number, line in enumerate([*LINES, *MORE])}
    return lines | {f"interrupted {n}": chance.uniform(0, 1.5) for n in range(6)}


def check_line(attempt: list[str] | float, folder: Path) -> None:
    """Raises AssertionError where a command line is not refused in one line, or an interrupt is a traceback."""
    if isinstance(attempt, float):
        check_interrupted(attempt, folder)
        return
    furnish(folder)
    before = sorted(folder.rglob("*"))
    said = actbench(*attempt)
    check_refused(said)
    assert said.out == ""
    assert sorted(folder.rglob("*")) == before, "something was written"


def furnish(folder: Path) -> None:
    (folder / "a file").write_text("")
    (folder / "dangling").symlink_to("/proc/nowhere/at all")
    (folder / "pipe").symlink_to("/dev/null")
    (folder / "deep.toml").write_text("a = " + "[" * 100_000)
    (folder / "wide.toml").write_text(f"a = {MANY}")


def check_interrupted(seconds: float, folder: Path) -> None:
    command = [sys.executable, "-c", READY, "run", "--methods", "none", "--ceilings", "4x", "--device", "cpu"]
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": folder, "preexec_fn": let_interrupts_through}
    with subprocess.Popen(command, text=True, **more) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    lines = [line for line in said.splitlines() if line and not line.startswith("machine busy")]
    assert lines == ["actbench: interrupted"], said


COMMAND_LINE = Kind("command line", 88, attempts, one_by_one(check_line))
