"""The process of one cell: forked from a warm worker, with a method's code in it, and gone when the cell is done."""

from __future__ import annotations

import os
import secrets
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, NoReturn

from actbench.children import die_with_parent
from actbench.harness.isolation.apart import one_line
from actbench.harness.isolation.channel import Channel
from actbench.harness.isolation.limits import killed_for_memory
from actbench.harness.isolation.processes import end_marked, reap
from actbench.harness.outcome import Outcome

_LOOK_AGAIN = 0.2
"""Seconds after which it is looked whether the process still lives, where nothing is heard of it."""

Work = Callable[[Channel], dict[str, Any]]
"""Measures a cell; it may send messages on the way. Gives the outcome as JSON values."""


class CellProcess:
    """A forked process that measures one cell."""

    def __init__(self, work: Work, close: tuple[int, ...] = ()) -> None:
        ours, its = socket.socketpair()
        secret = secrets.token_hex(16)
        self._log, log = os.pipe()
        self._killed_before = killed_for_memory()
        worker = os.getpid()
        self.process = os.fork()
        if self.process == 0:
            ours.close()
            _measure(work, Channel(its, secret), log, (self._log, *close), worker)
        its.close()
        os.close(log)
        self.channel = Channel(ours, secret)

    def outcome(
        self,
        timeout: float,
        deadline: float,
        told: Callable[[dict[str, Any]], None],
        parent: int | None = None,
    ) -> dict[str, Any]:
        """Waits for the outcome; `told` hears of every other message. A process that dies, or is not done at the
        `deadline`, when the cell has had its `timeout` seconds, has an outcome as well. `parent`: a descriptor at whose
        end nobody waits any more."""
        while monotonic() < deadline:
            heard = self._listen(min(_LOOK_AGAIN, max(0.0, deadline - monotonic())), parent)
            for message in heard or ():
                if message.get("event") == "result":
                    return dict(message["outcome"])
                told(message)
            if heard is None or self._ended():
                return self._death()
        reason = f"not done after {timeout:g} s; --timeout gives it more"
        return Outcome("timeout", reason).to_json()

    def end(self, mark: str) -> None:
        """Ends it, and everything that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.process, 0)
        end_marked(mark)
        reap()
        self.channel.socket.close()
        os.close(self._log)

    def _listen(self, seconds: float, parent: int | None) -> list[dict[str, Any]] | None:
        """What was heard within some seconds, None at the end of it."""
        watched = [self.channel.socket.fileno(), self._log, *([] if parent is None else [parent])]
        ready, _, _ = select.select(watched, [], [], seconds)
        if parent in ready:
            raise BrokenPipeError("nobody waits for this cell any more")
        if self._log in ready and (said := os.read(self._log, 1 << 16)):
            with suppress(OSError):
                os.write(sys.stderr.fileno(), said)
        if self.channel.socket.fileno() not in ready:
            return []
        with suppress(ConnectionError):
            received = self.channel.receive()
            return None if received is None else list(received)
        return None

    def _ended(self) -> bool:
        """Whether it is gone, without taking leave of it; what it said last is heard first."""
        ended = os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        waiting = select.select([self.channel.socket.fileno()], [], [], 0)[0]
        return ended and not waiting

    def _death(self) -> dict[str, Any]:
        result = os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOWAIT)
        if result is None or result.si_code == os.CLD_EXITED:
            status = 0 if result is None else result.si_status
            return Outcome("crash", f"its process exited with code {status}").to_json()
        name = signal.Signals(result.si_status).name
        if result.si_status == signal.SIGKILL and killed_for_memory() > self._killed_before:
            return Outcome("oom", "the system ended its process because memory ran out").to_json()
        return Outcome("crash", f"its process was killed by {name}").to_json()


def _measure(work: Work, channel: Channel, log: int, close: tuple[int, ...], worker: int) -> NoReturn:
    """In the forked process: gives up what is the worker's, works, tells the outcome, and ends."""
    try:
        os.setsid()
        die_with_parent(worker)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, standard in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(descriptor, standard)
        for descriptor in close:
            os.close(descriptor)
        channel.send(event="result", outcome=_outcome(work, channel))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(0)


def _outcome(work: Work, channel: Channel) -> dict[str, Any]:
    try:
        return work(channel)
    except BaseException as error:  # SystemExit too: a method must not end its cell without a reason
        return Outcome("crash", one_line(error)).to_json()
