"""Files that are called as records are, and are none: an error in one line that names the file, and never another."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actbench.errors import UserError
from actbench.leaderboard.board import boards
from actbench.leaderboard.markdown import workload_page
from actbench.leaderboard.site import Site
from actbench.records.columns import flat
from actbench.records.record import Record
from actbench.records.repetition import check_names
from actbench.records.store import read_record
from tests.records import whole

WRONG = [None, [], {}, "text", True, -1, 1e308, 10**400, [[]], {"a": 1}, "u8:9:0:AAAA", "\x1b[2J\n"]
DAMAGED_TEXT: list[tuple[Callable[[str], str], str]] = [
    (lambda text: text.replace('"seconds": 1.5', '"seconds": NaN'), "is no valid record"),
    (lambda text: text.replace('"seconds": 1.5', '"seconds": 1e999'), "seconds"),
    (lambda text: text.replace('"seconds": 1.5', '"seconds": 1' + "0" * 9000), "is no valid record"),
    (lambda text: text.replace('"seconds": 1.5', '"seconds": 1.5, "seconds": 2.5'), "'seconds' is there twice"),
    (lambda text: text.replace('"value": 50.0', '"value": 99.0, "value": 50.0'), "'value' is there twice"),
    (lambda text: text.replace('"slow"', "[" * 100_000 + "]" * 100_000), "is no valid record"),
    (lambda text: text.replace('"seconds": 1.5', '"seconds": ' + '{"a":' * 100_000), "is no valid record"),
    (lambda text: text + text, "is no valid record"),
    (lambda text: "\ufeff" + text, "is no valid record"),
    (lambda text: "", "is no valid record"),
    (lambda text: "\0" * 4096, "is no valid record"),
]
WHOLE = {"inference": whole.inference, "training": whole.training}


def read_or_refused(data: dict[str, Any], folder: Path) -> Record | None:
    path = folder / "record.json"
    path.write_text(json.dumps(data))
    said = ""
    try:
        return read_record(path)
    except UserError as error:
        said = str(error)
    assert path.name in said
    assert len(said.splitlines()) == 1
    return None


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: repr(wrong)[:12])
@pytest.mark.parametrize("track", WHOLE)
def test_every_field_with_a_value_of_a_wrong_type(track: str, wrong: Any, tmp_path: Path) -> None:
    """What is read nevertheless, since the value does as well, can be shown."""
    paths, site = list(whole.paths_in(WHOLE[track]())), Site({})
    assert len(paths) > 60
    for path in paths:
        record = read_or_refused(whole.at(WHOLE[track](), *path, to=wrong), tmp_path)
        if record is not None:
            assert len(workload_page("toy", boards([record], "wcc"))) > 0
            assert len(site.record(record)) > 0
            assert json.dumps(flat(record), allow_nan=False)
            assert check_names(record) >= {"protocol", "status"}


@pytest.mark.parametrize("track", WHOLE)
def test_every_field_is_needed_or_has_a_default(track: str, tmp_path: Path) -> None:
    for path in whole.paths_in(WHOLE[track]()):
        data = part = WHOLE[track]()
        for name in path[:-1]:
            part = part[name]
        del part[path[-1]]
        read_or_refused(data, tmp_path)


@pytest.mark.parametrize("track", WHOLE)
def test_a_list_in_the_place_of_every_object_is_refused(track: str, tmp_path: Path) -> None:
    """And an object in the place of everything else, but of what may be missing."""
    for path in whole.paths_in(WHOLE[track]()):
        part = WHOLE[track]()
        for name in path:
            part = part[name]
        target = tmp_path / "record.json"
        target.write_text(json.dumps(whole.at(WHOLE[track](), *path, to=[1] if isinstance(part, dict) else {"a": []})))
        with pytest.raises(UserError, match=r"record\.json is no valid record"):
            read_record(target)


@pytest.mark.parametrize("track", WHOLE)
def test_truncated_anywhere(track: str, tmp_path: Path) -> None:
    text = json.dumps(WHOLE[track]())
    target = tmp_path / "record.json"
    for end in range(0, len(text) - 1, 97):
        target.write_text(text[:end])
        with pytest.raises(UserError, match=r"record\.json is no valid record"):
            read_record(target)


@pytest.mark.parametrize(("damaged", "says"), DAMAGED_TEXT)
def test_damaged_text(damaged: Callable[[str], str], says: str, tmp_path: Path) -> None:
    path = whole.written(whole.inference(), tmp_path)
    path.write_text(damaged(path.read_text()))
    with pytest.raises(UserError, match=says) as caught:
        read_record(path)
    assert path.name in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    name = "f" * 20 + "-1.json"
    os.mkfifo(tmp_path / name)
    (tmp_path / "folder" / name).mkdir(parents=True)
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / name).symlink_to("/dev/zero")
    for path in (tmp_path / name, tmp_path / "folder" / name, tmp_path / "device" / name):
        with pytest.raises(UserError, match=r"no regular file|is a folder"):
            read_record(path)


@pytest.mark.parametrize("name", ["{key}-2.json", "0" * 20 + "-1.json"])
def test_a_record_under_the_name_of_another(name: str, tmp_path: Path) -> None:
    path = whole.written(whole.inference(), tmp_path)
    copied = path.rename(path.with_name(name.format(key=path.name.partition("-")[0])))
    with pytest.raises(UserError, match="its name is not that of the record in it"):
        read_record(copied)
