"""Methods that misbehave where they are measured: each has its row, with a true status, and changes no other's."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from actbench.records.record import Record
from actbench.records.store import read_record
from tests.attacks.attempt import Kind, Outcome, described
from tests.attacks.runtime_methods import GLOBALS, RUNTIME
from tests.harness import hostile, kills, reaching
from tests.harness.test_isolation import numbers

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PLUGINS = [HERE.parent / "harness" / "hostile.py", HERE.parent / "harness" / "reaching.py", HERE / "runtime_methods.py"]
RUN = ["run", "--workload", "reached", "--device", "cpu", "--ceilings", "8x", "--plain", "never"]
_SECONDS = "20"
_AT_ONCE = 15

FAILED = frozenset({"crash", "invalid", "oom", "timeout"})
ANY = FAILED | {"ok", "over_ceiling", "unsupported"}
"""Of what a method does to itself, its own row says what it may."""

CHEATS = ("remembering", "understating", "shaping", "largebatches", "inglobals", "ondisk", "infield")
"""Of the harness's own tests: codecs whose payload is not all that they decode."""

ENDS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("exits", "segfaults", "aborts", "kills-itself", "kills-its-group", "kills-its-worker"), FAILED),
    **dict.fromkeys(("raises-mine", "raises-what-cannot-be-said", "raises-in-colour", "raises-a-long-text"), FAILED),
    **dict.fromkeys(("interrupts", "stops-iterating", "cancels", "overflows-the-stack", "takes-a-terabyte"), FAILED),
    **dict.fromkeys(("unplanned", "misplanned", "counts-down", "wrong-shape", "not-a-number", "raising"), FAILED),
    **dict.fromkeys(("exiting", "out-of-memory", "leaving", "undefined"), FAILED),
    **dict.fromkeys(("stops-itself", "ignores-signals", "hanging"), frozenset({"timeout"})),
    "leaking": frozenset({"oom"}),
}


def runtime_attempts(chance: random.Random) -> Mapping[str, frozenset[str]]:
    """Methods that end, hang, flood, patch and reach, with the statuses that their rows may have."""
    own = [*RUNTIME, "unplanned", "misplanned", "noting"]
    theirs = [name for name in (*hostile.CODECS, *reaching.METHODS) if name not in (*CHEATS, "plain", "waiting")]
    return {name: ENDS.get(name, ANY) for name in (*own, *theirs)}


def cheat_attempts(chance: random.Random) -> Mapping[str, frozenset[str]]:
    """Codecs that keep what they do not count: none of their rows is a result."""
    from tests.attacks.cheating_codecs import CODECS

    return dict.fromkeys([*(kind.__name__.lower() for kind in CODECS), *CHEATS], FAILED)


def global_attempts(chance: random.Random) -> Mapping[str, frozenset[str]]:
    """What belongs to a whole process."""
    return dict.fromkeys(GLOBALS, ANY)


def in_runs(attempts: Mapping[str, frozenset[str]], folder: Path) -> Iterator[Outcome]:
    """Some methods a run, each run begun and ended by an honest method."""
    names = list(attempts)
    for start in range(0, len(names), _AT_ONCE):
        part = names[start : start + _AT_ONCE]
        order = ["plain-0", *part, "plain-1"]
        rows, wrong = carried_out(order, folder / str(start))
        wrong = wrong or differing(rows, "plain-0", "plain-1")
        yield from (Outcome(name, wrong or judged(rows.get(name), attempts[name])) for name in part)


def each_followed(attempts: Mapping[str, frozenset[str]], folder: Path) -> Iterator[Outcome]:
    """After each method an honest one, whose row has to be that of an honest method alone."""
    followers = {name: f"plain-{number}" for number, name in enumerate(attempts, 1)}
    order = ["plain-0", *(method for pair in followers.items() for method in pair)]
    rows, wrong = carried_out(order, folder)
    for name, follower in followers.items():
        yield Outcome(name, wrong or judged(rows.get(name), attempts[name]) or differing(rows, "plain-0", follower))


def carried_out(methods: list[str], folder: Path) -> tuple[dict[str, Record], str]:
    """The rows of a run, and what is wrong with the run itself."""
    folder.mkdir(parents=True)
    done, rows = run(methods, folder)
    said = done.stdout + done.stderr
    if done.returncode not in (0, 1):
        return rows, f"exit code {done.returncode}: {said[-1000:]}"
    if not all(line.isprintable() for line in said.split("\n")):
        return rows, "it printed what a terminal obeys"
    if "Traceback" in said:
        return rows, f"a traceback: {said[said.index('Traceback') :][-1000:]}"
    return rows, left_behind(folder)


def run(methods: list[str], folder: Path) -> tuple[subprocess.CompletedProcess[str], dict[str, Record]]:
    plugins = [word for path in PLUGINS for word in ("--plugin", str(path))]
    command = [sys.executable, "-m", "actbench", *RUN, *plugins, "--methods", ",".join(methods), "--timeout", _SECONDS]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {"PYTHONPATH": path, "ACTBENCH_KILLS": str(folder), "ACTBENCH_TEST_MARKS": str(folder), "TERM": "dumb"}
    done = subprocess.run(
        [*command, "--memory", "3GiB", "--results", str(folder / "results")],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        cwd=folder,
        env={**os.environ, **own, "ACTBENCH_PLUGIN_SECONDS": "100"},
    )
    records = map(read_record, (folder / "results").rglob("*.json"))
    return done, {record.cell.method.name: record for record in records}


def judged(row: Record | None, statuses: frozenset[str]) -> str:
    """What is wrong with the row of a hostile method."""
    if row is None:
        return "it has no row"
    if row.status not in statuses:
        return f"its status is {row.status}: {row.reason[:300]}"
    if row.status in FAILED and not row.reason:
        return "its row gives no reason"
    return ""


def differing(rows: Mapping[str, Record], alone: str, beside: str) -> str:
    """Where the row of an honest method is another than alone."""
    try:
        assert rows[alone].status == rows[beside].status == "ok", rows[beside].reason
        ours, theirs = numbers(rows[alone]), numbers(rows[beside])
        parts: list[Any] = [name for name in ours if ours[name] != theirs[name]]
        assert not parts, f"the honest row differs in {parts}"
        assert rows["none"].status == "ok"
        assert rows["none"].measurements.quality is not None
        assert rows["none"].measurements.quality.difference == 0
    except (AssertionError, KeyError) as error:
        return described(error)
    return ""


def left_behind(folder: Path) -> str:
    """Processes of a run that live on."""
    deadline = time.monotonic() + 5
    while left := list(kills._left(folder)):
        if time.monotonic() > deadline:
            return f"{len(left)} processes live on"
        time.sleep(0.1)
    return ""


HOSTILE_METHODS = Kind("hostile methods", 38, runtime_attempts, in_runs)
PAYLOAD_CHEATS = Kind("payload cheats", 15, cheat_attempts, in_runs)
GLOBAL_STATE = Kind("global state", 19, global_attempts, each_followed)
