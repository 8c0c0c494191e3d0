"""Files that are called as records are, beside good records: read, shown, compared, submitted and published."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from actbench.records.store import Store, is_record, read_record
from actbench.spec import CellSpec
from tests.attacks.commands import Said, actbench, check_refused, check_refused_or_harmless
from tests.leaderboard.made_up import RECORDS
from tests.records import whole

for _used in (
    "actbench.leaderboard.publish",
    "actbench.leaderboard.submit",
    "actbench.harness.verify",
):
    import_module(_used)  # once, and not in each of the forked processes

Writing = Callable[[Path, dict[str, Any]], object]
"""Writes a file in the place of a whole record of this content."""

MOST = 20
"""So many files that are left out, `publish` names one by one."""

WHOLE = {"inference": whole.inference, "training": whole.training}


def numbered(track: str, number: int) -> dict[str, Any]:
    """A whole record of a cell of its own."""
    return respecified(WHOLE[track](), seed=number)


def respecified(data: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The record with other fields of its spec, and the key that belongs to them."""
    data["spec"] |= more
    data["key"] = CellSpec.from_canonical(data["spec"]).key
    return data


def check_beside_good(attempts: Mapping[str, tuple[str, Writing]], folder: Path) -> None:
    """Attempts are a track and what is written. Raises AssertionError where a good record is lost, a file vanishes or
    is left out without a word, and where any command does not end as it should."""
    results, board, paths = folder / "results", folder / "board", []
    Store(results).add_missing(RECORDS)
    for number, (track, write) in enumerate(attempts.values()):
        data = numbered(track, number)
        path = results / "records" / "toy" / f"{data['key']}-1.json"
        write(path, data)
        paths.append(next(iter(path.parent.glob(f"{path.stem.partition('-')[0]}-*.json")), path))
    before = {path: path.read_bytes() for path in results.rglob("*.json") if path.is_file() and not path.is_symlink()}
    said = actbench("publish", "--results", results, "--out", board)
    check_published(said, paths, board)
    assert {path: path.read_bytes() for path in before} == before, "a file of the results was changed"
    assert all(os.path.lexists(path) for path in paths), "a damaged file was removed"
    for path in paths:
        check_alone(path, folder)


def check_published(said: Said, paths: list[Path], board: Path) -> None:
    """Raises AssertionError where a good record is not published, or another one neither named nor published."""
    check_refused_or_harmless(said)
    assert said.code == 0, said.text
    published = {path.name for path in board.rglob("*.json") if is_record(path)}
    missing = [good.file_name for good in RECORDS if good.file_name not in published]
    assert not missing, f"good records are lost: {missing}"
    lines = said.err.splitlines()
    assert all(line.startswith("skipped: ") for line in lines), said.err
    for path in paths:
        named = any(path.name in line for line in lines)
        assert named != (path.name in published), f"{path.name}: named {named}, and published {not named}"
    assert len(lines) == len(paths) - len(published & {path.name for path in paths}), "a line for each"
    json.loads((board / "boards" / "toy" / "rows.json").read_text())


def check_alone(path: Path, folder: Path) -> None:
    """Raises AssertionError where a command that is given the file alone does not end as it should."""
    boards = folder / "submitted"
    boards.mkdir(exist_ok=True)
    there = {inside: inside.read_bytes() for inside in boards.rglob("*.json")}
    for line in (["show", path], ["show", "--json", path], ["compare", path, path], ["submit", path, "--to", boards]):
        check_refused_or_harmless(actbench(*line))
    for inside in boards.rglob("*.json"):
        if inside not in there:
            assert read_record(inside), "what was submitted can be read"
    assert {inside: inside.read_bytes() for inside in there} == there


def check_is_refused(path: Path, says: str, folder: Path) -> None:
    """Raises AssertionError where a file is accepted, or refused without its name and what is wrong with it."""
    boards = folder / "boards"
    boards.mkdir(exist_ok=True)
    for line in (["show", path], ["compare", path, path], ["submit", path, "--to", boards]):
        said = actbench(*line)
        check_refused(said)
        assert path.name in said.err, said.err
        assert says in said.err, said.err
    assert not list(boards.iterdir()), "something was laid out"
