"""Processes end with those that started them, also where these end before anybody could say so."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHILD = """
import os, signal, sys, time
from actbench.children import die_with_parent
die_with_parent(int(sys.argv[1]))
print(os.getpid(), flush=True)
time.sleep(float(sys.argv[2]))
"""

PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid()), "60"], stdout=subprocess.PIPE)
print(child.stdout.readline().decode(), flush=True)
"""


def test_a_child_stays_with_its_parent() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, str(os.getpid()), "0"], check=False)
    assert done.returncode == 0


def test_a_child_whose_parent_ended_before_ends_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, "1", "60"], check=False, capture_output=True)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")


def test_a_worker_whose_parent_ended_before_loads_nothing() -> None:
    command = [sys.executable, "-m", "actbench.harness.worker", "1"]
    done = subprocess.run(command, input=b'{"prepare": {}}\n', check=False, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, b"", b"")


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells no other process of its parent's end")
def test_a_child_ends_with_its_parent() -> None:
    said = subprocess.run([sys.executable, "-c", PARENT, CHILD], check=True, capture_output=True).stdout
    child = Path(f"/proc/{int(said)}/stat")
    deadline = time.monotonic() + 10
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)
