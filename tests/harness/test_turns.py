"""While one is timed, those beside it stand still: who held what, and when."""

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from actbench.harness import turns
from actbench.harness.turns import Turns

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")

CELLS = """
import json, random, sys
from contextlib import contextmanager
from time import monotonic, sleep
from actbench.harness import turns

turns._WINDOW = 0.0
draw, spans, mine = random.Random(int(sys.argv[1])), [], turns.Turns(shared=True)

def work(kind):
    begin = monotonic()
    sleep(draw.uniform(0.0, 0.02))
    spans.append({"kind": kind, "begin": begin, "end": monotonic()})

print("ready", flush=True)
sys.stdin.read()
for cell in range(4):
    with mine.beside():
        for step in range(draw.randint(1, 5)):
            work("quality")
            mine.pause()
        with mine.alone():
            work("time")
        work("quality")
print(json.dumps(spans))
"""

HOLD = """
import sys
from actbench.harness.turns import Turns
mine = Turns(shared=True)
with mine.beside(), getattr(mine, sys.argv[1])():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _a_node_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(turns.tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def holder(request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[str]"]:
    """Another cell, that is alone or beside others until it is killed."""
    process = started(HOLD, request.param)
    assert heard(process) == "held\n"
    yield process
    process.kill()
    process.communicate()


def started(code: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def heard(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one["begin"] < other["end"] and other["begin"] < one["end"]


def test_what_is_timed_is_alone_and_the_rest_is_not() -> None:
    processes = [started(CELLS, str(number)) for number in range(4)]
    assert [heard(process) for process in processes] == ["ready\n"] * 4
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()  # now
    had = [json.loads(heard(process)) for process in processes]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert [sum(span["kind"] == "time" for span in spans) for spans in had] == [4] * 4
    pairs = [(one, other) for spans, others in combinations(had, 2) for one in spans for other in others]
    met = {(one["kind"], other["kind"]) for one, other in pairs if overlap(one, other)}
    assert met == {("quality", "quality")}, "only quality is measured side by side"


@pytest.mark.parametrize("holder", ["beside", "alone"], indirect=True)
def test_nobody_waits_for_ever(holder: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that hangs costs the others their patience, once, and no result."""
    monkeypatch.setattr(turns, "PATIENCE", 0.3)
    mine, begin = Turns(shared=True), monotonic()
    with mine.beside():
        for _ in range(50):
            mine.pause()
        with mine.alone():
            waited = monotonic() - begin
    assert 0.3 <= waited < 5
    assert mine.load is not None, "whether it was alone is said by the load"


@pytest.mark.parametrize("holder", ["alone"], indirect=True)
def test_who_is_killed_holds_nothing(holder: "subprocess.Popen[str]") -> None:
    holder.kill()
    holder.wait()
    mine, begin = Turns(shared=True), monotonic()
    with mine.beside(), mine.alone():
        assert monotonic() - begin < 30


def test_where_nobody_is_beside_nothing_is_held(tmp_path: Path) -> None:
    mine = Turns()
    with mine.beside(), mine.alone():
        mine.pause()
    assert mine.load is None
    assert list(tmp_path.iterdir()) == []
