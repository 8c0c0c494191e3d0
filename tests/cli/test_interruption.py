"""Ctrl-C in the first second: one line, exit code 130, no traceback, whatever is being imported."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = ["run", "--methods", "none", "--ceilings", "4x", "--device", "cpu"]

INTERRUPTED_BY_AN_IMPORT = """
import os, signal, sys
from actbench.__main__ import main

class Interrupting:
    module = sys.argv.pop()

    def find_spec(self, name, path=None, target=None):
        if name == self.module:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
main()
"""

READY = "from actbench.__main__ import main; print('ready', flush=True); main()"


def let_interrupts_through() -> None:
    """A shell's background jobs ignore interrupts, and hand that down: these tests may be such a job."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("module", ["rich", "typer", "actbench.cli", "actbench.cli.run", "actbench.listing.plugins"])
def test_while_modules_are_imported(module: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED_BY_AN_IMPORT, *RUN, module]
    more = {"cwd": tmp_path, "preexec_fn": let_interrupts_through}
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    assert (done.returncode, done.stderr) == (130, "actbench: interrupted\n")


@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.2, 0.4, 0.8, 1.2])
def test_at_any_time(seconds: float, tmp_path: Path) -> None:
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": tmp_path, "preexec_fn": let_interrupts_through}
    with subprocess.Popen([sys.executable, "-c", READY, *RUN], text=True, **more) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    lines = [line for line in said.splitlines() if line and not line.startswith("machine busy")]
    assert lines == ["actbench: interrupted"]
