"""The listing process: it reads tasks from standard input, and carries out each in a fork of its own, so that no plugin
meets another. It answers on what was standard output when it started; whatever plugins print
is dropped. It ends when standard input does.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from contextlib import suppress
from time import monotonic, sleep
from typing import Any, NoReturn

from actbench.children import die_with_parent
from actbench.listing.form import LONGEST_ANSWER
from actbench.listing.lines import Lines
from actbench.listing.process import SECONDS, signal_name
from actbench.listing.tasks import answer
from actbench.registry import one_line_of

_MEMORY = 2 << 30
"""Bytes that the import of a plugin may take."""

_LAST_BREATH = 1.0
"""Seconds that a process may take to end when it has closed its pipe."""

_STANDARD_INPUT = 0


def main() -> None:
    """Serves one request."""
    answers = _claim_standard_output()
    request = json.loads(sys.stdin.buffer.readline())
    _say(answers, b"ready")
    for task in request["tasks"]:
        _say(answers, json.dumps(_in_a_fork(task, request["seconds"], answers)).encode())


def _in_a_fork(task: dict[str, Any], seconds: float | None, answers: int) -> dict[str, str]:
    """The answer to a task, as text that the parent has to check, or what kept it from coming."""
    reader, writer = os.pipe()
    parent = os.getpid()
    process = os.fork()
    if process == 0:
        os.close(answers)
        os.close(reader)
        _serve(task, writer, parent)
    os.close(writer)
    try:
        return {"answer": Lines(reader, LONGEST_ANSWER, _STANDARD_INPUT).next(seconds).decode()}
    except TimeoutError:
        return {"error": f"TimeoutError: not imported within {seconds:g} s; {SECONDS} gives it more"}
    except EOFError:
        return {"error": _end_of(process)}
    except ValueError as error:
        return {"error": one_line_of(error)}
    except InterruptedError:
        sys.exit()
    finally:
        _kill(process)
        os.close(reader)


def _serve(task: dict[str, Any], writer: int, parent: int) -> NoReturn:
    """Carries out a task in this process, which ends with it: its threads and exit hooks too."""
    dumps, write, leave = json.dumps, os.write, os._exit  # a plugin may put its own in their place
    try:
        _confine(parent)
        line = dumps(answer(task), allow_nan=False).encode()
    except BaseException as error:
        line = dumps({"error": one_line_of(error)}).encode()
    try:
        line += b"\n"
        while line:
            line = line[write(writer, line) :]
    finally:
        leave(0)


def _confine(parent: int) -> None:
    """Gives this process a session of its own, no input, limits, and an end with its parent."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), _STANDARD_INPUT)
    die_with_parent(parent)
    for limit, most in ((resource.RLIMIT_DATA, _MEMORY), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(limit)
        with suppress(OSError, ValueError):
            resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _end_of(process: int) -> str:
    """How a process ended that gave no answer."""
    deadline = monotonic() + _LAST_BREATH
    while monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            how = f"ended with exit code {code}" if code >= 0 else f"was killed by {signal_name(-code)}"
            return f"its process {how} while it was imported"
        sleep(0.01)
    return "closed the pipe that its registrations go through"


def _kill(process: int) -> None:
    """Ends a process and all that it started in its session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)
    with suppress(ChildProcessError):  # its end may be known already
        if os.waitpid(process, os.WNOHANG) == (0, 0):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _claim_standard_output() -> int:
    """Keeps standard output for answers; what plugins print, even from C, goes where standard error goes."""
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _say(answers: int, line: bytes) -> None:
    with os.fdopen(os.dup(answers), "wb") as stream:
        stream.write(line + b"\n")
