"""Records and marks of the right form that say what cannot be: none is shown, compared, submitted or published."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actbench.records.store import Store, is_record
from actbench.records.verification import beside, write_verification
from tests.attacks.attempt import Kind, one_by_one
from tests.attacks.beside_good import WHOLE, check_is_refused
from tests.attacks.commands import actbench, check_refused
from tests.leaderboard.made_up import RECORDS, mark, record
from tests.leaderboard.test_skipped import MARKS
from tests.records import whole
from tests.records.test_forged import INFERENCE, TRAINING, Change

MACHINE = {"versions": {"torch": "2"}, "machine": {"cpu": "one"}, "revision": None}


def scaled(*path: Any, by: float) -> Change:
    """A measurement that was made better, alone."""

    def change(data: dict[str, Any]) -> None:
        part: Any = data["measurements"]
        for name in path[:-1]:
            part = part[name]
        part[path[-1]] = type(part[path[-1]])(by * part[path[-1]])

    return change


MORE: dict[str, tuple[Change, str]] = {
    "a better accuracy": (scaled("quality", "value", by=1.5), "difference is"),
    "a worse reference": (scaled("quality", "reference", by=0.9), "difference is"),
    "less traffic": (scaled("footprint", "traffic", "maximum", by=0.8), "traffic"),
    "a faster median": (scaled("latency", "subject", "median", by=0.5), "median is"),
    "a slower baseline": (scaled("latency", "baseline", "median", by=2), "median is"),
    "a faster single image": (scaled("latency", "single", "ratio", by=0.5), "ratio is"),
    "another seed": (lambda data: data["spec"].update(seed=8), "key"),
    "another method": (lambda data: data["spec"]["method"].update(name="other"), "key"),
    "another protocol": (lambda data: data["spec"].update(protocol=1), "key"),
    "a key of its own": (lambda data: data.update(key="0" * 20), "key"),
    "a status of its own": (lambda data: data.update(status="best"), "status"),
    "a field of its own": (lambda data: data["measurements"].update(rank=1), "rank"),
    "a format of the future": (lambda data: data.update(format=99), "format"),
}


def attempts(chance: random.Random) -> Mapping[str, Any]:
    """Forged records of both tracks, and forged marks of true records."""
    made: dict[str, Any] = {f"inference: {name}": ("inference", *forged) for name, forged in (INFERENCE | MORE).items()}
    made |= {f"training: {name}": ("training", *forged) for name, forged in TRAINING.items()}
    return made | {f"mark: {name}": ("mark", *forged) for name, forged in MARKS.items()}


def check_forged(attempt: tuple[str, Change, str], folder: Path) -> None:
    """Raises AssertionError where what is forged is accepted anywhere."""
    what, change, says = attempt
    if what == "mark":
        check_mark(change, says, folder)
        return
    data = WHOLE[what]()
    change(data)
    path = whole.written(data, folder / "results")
    check_is_refused(path, says, folder)
    Store(folder / "results").add_missing(RECORDS)
    said = actbench("publish", "--results", folder / "results", "--out", folder / "board")
    assert said.code == 0, said.text
    assert path.name in said.err, said.text
    assert says in said.err, said.text
    published = {inside.name for inside in (folder / "board").rglob("*.json") if is_record(inside)}
    assert published == {good.file_name for good in RECORDS}


def check_mark(change: Change, says: str, folder: Path) -> None:
    """Raises AssertionError where a mark that was forged shows a record as verified, or is submitted."""
    path, kept = Store(folder / "results").add(record("wavelet", environment=MACHINE))
    write_verification(path, mark(kept))
    data = json.loads(beside(path).read_text())
    change(data)
    beside(path).write_text(json.dumps(data))
    said = actbench("publish", "--results", folder / "results", "--out", folder / "board")
    assert said.code == 0, said.text
    assert says in said.err, said.text
    for page in (folder / "board").rglob("*"):
        assert page.suffix not in (".html", ".md") or "✓" not in page.read_text(), page
    (folder / "boards").mkdir()
    check_refused(actbench("submit", path, "--to", folder / "boards"))
    assert not list((folder / "boards").iterdir())


FORGED = Kind("forged records", 28, attempts, one_by_one(check_forged))
