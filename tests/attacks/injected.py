"""Hostile texts wherever a record, a file name or a plugin can say one; shown, published, compared, submitted."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from actbench.errors import UserError
from actbench.records.store import is_record
from tests.attacks.attempt import Kind, together
from tests.attacks.beside_good import respecified
from tests.attacks.commands import actbench, check_refused_or_harmless
from tests.attacks.pages import check_published_files
from tests.attacks.texts import HOSTILE
from tests.records import whole

Saying = Callable[[dict[str, Any], str], object]
"""Has a whole record say a text in a field."""

_FIELDS_OF_A_TEXT = 8
_AT_ONCE = 50


def measured(*path: Any) -> Saying:
    return lambda data, text: whole.at(data, "measurements", *path, to=text)


def under(*path: Any) -> Saying:
    """As a name and as a value of a mapping."""
    return lambda data, text: whole.at(data, *path, to={text: text})


def workload(data: dict[str, Any], text: str) -> None:
    data["spec"]["workload"]["name"] = text


def method(data: dict[str, Any], text: str) -> None:
    data["spec"]["method"]["name"] = text


def without_result(data: dict[str, Any], text: str) -> None:
    data.update(status="unsupported", reason=text, measurements={}, warnings=[text, f"first\n{text}"])


def layers(data: dict[str, Any], text: str) -> None:
    """A map's name, wherever the record has it."""
    part = data["measurements"]["footprint"]["maps"][0]
    part.update(name=text, producer=text, readers=[text])
    data["measurements"]["memory"]["timeline"][0]["name"] = text
    data["measurements"]["memory"]["whole"] = [text]


def environment(data: dict[str, Any], text: str) -> None:
    data["environment"].update(versions={text: text}, machine={text: text, "cpu": text}, revision=text)


def source(data: dict[str, Any], text: str) -> None:
    data["environment"]["plugin"] = {"package": text, "version": text, "source": text}


def recipe(data: dict[str, Any], text: str) -> None:
    data["measurements"]["recovery"]["recipe"] = {text: text}


FIELDS: dict[str, Saying] = {
    "workload": workload,
    "method": method,
    "version": lambda data, text: whole.at(data, "spec", "method", "version", to=text),
    "options": under("spec", "method", "options"),
    "value of an option": lambda data, text: whole.at(data, "spec", "method", "options", "start", to=text),
    "digests": under("spec", "workload", "digests"),
    "reason": without_result,
    "started": lambda data, text: whole.at(data, "started", to=text),
    "warnings": lambda data, text: whole.at(data, "warnings", to=[text, f"first\n{text}"]),
    "environment": environment,
    "package": lambda data, text: whole.at(data, "environment", "plugin", "package", to=text),
    "source": source,
    "layers": layers,
    "choices": under("measurements", "footprint", "maps", 0, "choices"),
    "recipe": recipe,
    "metric": measured("quality", "metric"),
    "unit": measured("quality", "unit"),
    "source of memory": measured("memory", "source"),
    "ceiling": lambda data, text: whole.at(data, "spec", "ceiling", to=text),
}


def attempts(chance: random.Random) -> Mapping[str, tuple[str, str]]:
    """Each text in some fields, which are drawn."""
    pairs = ((text, field) for text in HOSTILE for field in chance.sample(list(FIELDS), _FIELDS_OF_A_TEXT))
    return {f"{field}: {text!r}": (field, text) for text, field in pairs}


def check_texts(attempts: Mapping[str, tuple[str, str]], folder: Path) -> None:
    """Raises AssertionError where a text becomes more than a text in what is printed or published."""
    results, board, boards = folder / "results", folder / "board", folder / "boards"
    boards.mkdir()
    paths = [write(results, number, *attempt) for number, attempt in enumerate(attempts.values())]
    whole.written(whole.inference(), results)
    said = actbench("publish", "--results", results, "--out", board)
    check_refused_or_harmless(said)
    published = [path for path in board.rglob("*.json") if is_record(path)]
    assert len(published) + skipped(said.err) == len(paths) + 1, said.text[-500:]
    check_published_files(board)
    for path in paths:
        for line in (["show", path], ["show", "--json", path], ["compare", path, path]):
            check_refused_or_harmless(actbench(*line))
        for line in (["verify", path, "--environment-only"], ["submit", path, "--to", boards]):
            check_refused_or_harmless(actbench(*line))
    check_refused_or_harmless(actbench("publish", "--results", boards, "--out", boards))
    check_published_files(boards)
    assert {entry.name for entry in folder.iterdir()} == {"results", "board", "boards"}, "a file outside"


def skipped(said: str) -> int:
    """How many files were left out, by what `publish` says: a line for each of the first, and the number of others."""
    lines = said.splitlines()
    others = re.fullmatch(r"skipped: (\d+) more", lines[-1]) if lines else None
    return len(lines) if others is None else len(lines) - 1 + int(others[1])


def write(results: Path, number: int, field: str, text: str) -> Path:
    """A record of a method and a workload that are installed, but for the field that says the text."""
    data = whole.inference()
    data["spec"]["workload"] |= {"name": "shapes"}
    data["spec"]["method"] |= {"name": "quantize", "options": {}} if field == "reason" else {}
    FIELDS[field](data, text)
    try:
        respecified(data, seed=number)
    except UserError:  # what no cell can be
        data["key"] = f"{number:020x}"
    path = results / "records" / "any" / f"{data['key']}-1.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


INJECTED = Kind("injected strings", 1650, attempts, together(check_texts, _AT_ONCE, 600))
