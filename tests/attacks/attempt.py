"""Attempts, carried out in forked processes, so that one that hangs, crashes or takes all memory is counted too."""

from __future__ import annotations

import os
import random
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn

_MEMORY = 8 << 30
"""Bytes of addresses that an attempt may take beyond those of the process that it is forked from."""


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt: `failure` says what it got of what it wanted, nothing where all held."""

    name: str
    failure: str = ""


CarryOut = Callable[[Mapping[str, Any], Path], Iterator[Outcome]]
"""Carries out attempts, by name, in an empty folder, and gives the outcome of each."""


@dataclass(frozen=True)
class Kind:
    """A kind of attack: at least `wanted` attempts, drawn by a seed, and how they are carried out."""

    name: str
    wanted: int
    attempts: Callable[[random.Random], Mapping[str, Any]]
    carry_out: CarryOut


def one_by_one(attempt: Callable[[Any, Path], None], seconds: float = 60) -> CarryOut:
    """Carries out each attempt alone; it raises where the attack got what it wanted."""
    return together(lambda attempts, folder: attempt(*attempts.values(), folder), 1, seconds)


def together(attempt: Callable[[Mapping[str, Any], Path], None], most: int, seconds: float = 300) -> CarryOut:
    """Carries out so many attempts at once; where that raises, halves of them, to tell which it was."""

    def carry_out(attempts: Mapping[str, Any], folder: Path) -> Iterator[Outcome]:
        for number, names in enumerate(_parts(list(attempts), most)):
            part = {name: attempts[name] for name in names}
            failure = apart(attempt, part, folder / str(number), seconds)
            if failure and len(names) > 1:
                halves = together(attempt, (len(names) + 1) // 2, seconds)
                yield from _attributed(list(halves(part, folder / f"{number} in halves")), failure)
            else:
                yield from (Outcome(name, failure) for name in names)

    return carry_out


def _attributed(outcomes: Sequence[Outcome], failure: str) -> Iterator[Outcome]:
    """The outcomes of halves; where all held apart, the failure of the whole is that of the first."""
    if any(outcome.failure for outcome in outcomes):
        yield from outcomes
    else:
        yield Outcome(outcomes[0].name, f"with {len(outcomes) - 1} others: {failure}")
        yield from outcomes[1:]


def _parts(names: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), most):
        yield names[start : start + most]


def apart(attempt: Callable[[Any, Path], None], given: Any, folder: Path, seconds: float) -> str:
    """Carries out something in a forked process of its own, in an empty folder: why it failed, nothing where it did
    not."""
    folder.mkdir(parents=True)
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        os.close(reading)
        _in_child(attempt, given, folder, writing)
    os.close(writing)
    try:
        return _reason(process, reading, seconds)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
        os.close(reading)


def _in_child(attempt: Callable[[Any, Path], None], given: Any, folder: Path, writing: int) -> NoReturn:
    reason = "left without a word"
    try:
        os.setsid()
        _limit_memory()
        os.chdir(folder)
        attempt(given, folder)
        reason = ""
    except BaseException as error:
        reason = described(error)
    finally:
        os.write(writing, b"." + reason.encode("utf-8", "backslashreplace")[:4000])
        os._exit(0)


def described(error: BaseException) -> str:
    """An error with its place, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:1500]}{where}"


def _reason(process: int, reading: int, seconds: float) -> str:
    said, deadline = b"", monotonic() + seconds
    while (left := deadline - monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            part = os.read(reading, 1 << 16)
            said += part
            if not part:
                break
    else:
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if said:
        return said[1:].decode()
    return f"not done after {seconds:g} s" if left <= 0 else f"its process ended with status {status}"


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
