"""Processes that end with those that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_SET_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux."""


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Has the system send this process a signal when its parent ends (Linux), and sends it now where that has ended
    already: before this is called, a process has a while to start in. `parent`: the number of the process that started
    this one."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SET_DEATH_SIGNAL, int(number), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
