"""The listing process as the command sees it: started, given tasks, and replaced where a plugin takes it along."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from actbench.errors import UserError
from actbench.listing.form import LONGEST_ANSWER
from actbench.listing.lines import Lines

SECONDS = "ACTBENCH_PLUGIN_SECONDS"
"""Environment variable: how long the import of one plugin may take."""

_CHILD = "import sys; sys.path[:] = {path!r}; from actbench.listing.child import main; main()"
"""The path comes first: a file in the working folder must not stand in for a module of Python."""

_START_SECONDS = 60
_GRACE_SECONDS = 5.0
"""What the listing process has beyond a plugin's time, to stop that plugin."""


def carry_out(tasks: Sequence[dict[str, Any]], seconds: float | None) -> list[dict[str, Any]]:
    """What came of each task: `error`, a line, or whatever else its answer says. Each task may take so many seconds."""
    outcomes: list[dict[str, Any]] = []
    while len(outcomes) < len(tasks):
        process = _Process(tasks[len(outcomes) :], seconds)
        try:
            outcomes += process.outcomes()
        finally:
            process.end()
    return outcomes


class _Process:
    def __init__(self, tasks: Sequence[dict[str, Any]], seconds: float | None) -> None:
        self._seconds = seconds
        self._count = len(tasks)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a plugin that kills its group does not reach the command
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._lines = Lines(self._process.stdout.fileno(), 8 * LONGEST_ANSWER)
        request = {"seconds": seconds, "tasks": list(tasks)}
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()  # left open: the listing process ends when it is closed

    def outcomes(self) -> Iterator[dict[str, Any]]:
        """One for each task, until a plugin takes the process along: that one's is the last."""
        try:
            self._lines.next(_START_SECONDS)
        except (TimeoutError, EOFError):
            raise UserError("cannot start the process that lists plugins") from None
        for _ in range(self._count):
            try:
                yield _answer(self._lines.next(None if self._seconds is None else self._seconds + _GRACE_SECONDS))
            except TimeoutError:
                yield {"error": "stopped the process that lists plugins"}
                return
            except EOFError:
                yield {"error": f"ended the process that lists plugins ({self._ending()})"}
                return
            except ValueError:
                yield {"error": "its answer is no registration"}
                return

    def end(self) -> None:
        """Ends the process, which ends the plugin that it is with."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _ending(self) -> str:
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return "closed its pipe"
        return signal_name(-code) if code < 0 else f"exit code {code}"


def signal_name(number: int) -> str:
    """The name of a signal, where it has one."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _answer(line: bytes) -> dict[str, Any]:
    """What the listing process says of a task. Raises ValueError where that is not of the form."""
    try:
        said = json.loads(line)
        outcome = json.loads(said["answer"]) if "answer" in said else said
    except (TypeError, KeyError, RecursionError) as error:
        raise ValueError from error
    if not isinstance(outcome, dict):
        raise ValueError
    return outcome
