"""Folders in which files are damaged, foreign or forged: what is good is published, the rest is named, and stays."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import actbench
from actbench.errors import UserError
from actbench.leaderboard import exchange
from actbench.leaderboard.exchange import remove_leftovers
from actbench.leaderboard.frame import load_records, load_verifications
from actbench.leaderboard.publish import publish
from actbench.records.record import Record
from actbench.records.skipped import Skipped
from actbench.records.store import Store
from actbench.records.verification import beside, write_verification
from tests.leaderboard.made_up import RECORDS, mark, record


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "actbench", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


def damaged(folder: Path, count: int) -> list[Path]:
    """Files that are called as records are, each bad in another way."""
    parent = folder / "records" / "toy"
    parent.mkdir(parents=True, exist_ok=True)
    good = json.loads(record("foreign").model_dump_json())
    ways: list[Callable[[Path], Any]] = [
        lambda path: path.write_text("{"),
        lambda path: path.write_text(json.dumps(good)),
        lambda path: path.write_text(json.dumps(good | {"seconds": "long"})),
        lambda path: path.write_text("[" * 100_000),
        lambda path: path.write_text('{"format": 2, "format": 2}'),
        lambda path: path.write_bytes(bytes(range(256))),
        lambda path: path.mkdir(),
        os.mkfifo,
    ]
    paths = [parent / f"{number:020x}-1.json" for number in range(count)]
    for number, path in enumerate(paths):
        ways[number % len(ways)](path)
    return paths


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    Store(folder).add_missing(RECORDS)
    return folder


def test_what_is_damaged_is_named_and_the_rest_is_published(results: Path, tmp_path: Path) -> None:
    bad = damaged(results, 8)
    for more, code in (((), 0), (("--strict",), 2)):
        done = command("publish", "--results", results, "--out", tmp_path / "board", *more)
        assert done.returncode == code, done.stderr
        assert "7 records of 1 workloads" in done.stdout
        lines = done.stderr.splitlines()
        assert len(lines) == 8
        assert all(line.startswith("skipped: ") for line in lines)
        assert all(any(path.name in line for line in lines) for path in bad)
    assert all(os.path.lexists(path) for path in bad), "nothing is deleted"


def test_what_is_damaged_where_it_is_published(results: Path) -> None:
    bad = damaged(results, 8)
    done = command("publish", "--results", results, "--out", results)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 8
    assert (results / "index.html").exists()
    assert all(os.path.lexists(path) for path in bad)


def test_the_first_twenty_are_named_and_the_others_counted(results: Path, tmp_path: Path) -> None:
    damaged(results, 50)
    done = command("publish", "--results", results, "--out", tmp_path / "board")
    lines = done.stderr.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "skipped: 30 more"


def test_nothing_good_is_an_error(tmp_path: Path) -> None:
    damaged(tmp_path / "results", 2)
    results = tmp_path / "results"
    for arguments in (("publish", "--results", results, "--out", tmp_path / "board"), ("compare", results, results)):
        done = command(*arguments)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("actbench: no records in")


def test_compare_and_load_results(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged(results, 8)
    done = command("compare", results, results)
    assert done.returncode == 0, done.stderr
    assert "7 cells compared, 0 changes" in done.stdout
    assert "skipped: " in done.stderr
    assert len(actbench.load_results(results)) == 7
    assert len(capsys.readouterr().err.splitlines()) == 8


def test_an_earlier_attempt_stands_in_for_a_damaged_one(tmp_path: Path) -> None:
    store, skipped = Store(tmp_path), Skipped()
    store.add(record("wavelet", value=81.0))
    path, _ = store.add(record("wavelet", value=82.0))
    path.write_text(path.read_text()[:-20])
    (kept,) = load_records(tmp_path, skipped)
    assert kept.attempt == 1
    assert path.name in skipped.reasons[0]
    again, is_new = store.add_once(record("wavelet", value=83.0))
    assert is_new
    assert again.name.endswith("-3.json"), "beside the damaged one"


def test_names_do_not_command_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skipped = Skipped()
    skipped.add(UserError("\x1b[2Jrecord\nis gone"))
    skipped.tell()
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert len(said.splitlines()) == 1


MARKS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "foreign": (lambda data: data.update(record="0" * 64), "of another record"),
    "empty": (lambda data: data.update(checks=[]), "lacks the check"),
    "empty, of an earlier format": (lambda data: data.update(checks=[], format=2), "lacks the check"),
    "without the status": (lambda data: without(data, "status"), "lacks the check of 'status'"),
    "without the quality": (lambda data: without(data, "quality"), "lacks the check of 'quality'"),
    "without a digest": (lambda data: without(data, "digest of data"), "lacks the check of 'digest of data'"),
    "without the source": (lambda data: without(data, "source of wavelet"), "lacks the check of 'source"),
    "without the maps": (lambda data: without(data, "bits of each map"), "lacks the check of 'bits of each map'"),
    "of another method": (lambda data: data["checks"][-1].update(name="version of other"), "lacks the check"),
    "without a machine": (lambda data: data.update(environment=None), "no valid verification"),
    "of a machine without a name": (lambda data: data["environment"].update(machine={}), "where the record"),
    "of a later format": (lambda data: data.update(format=4), "no valid verification"),
    "with more": (lambda data: data.update(note="mine"), "no valid verification"),
    "with a verdict of its own": (lambda data: data["checks"][0].update(holds="perhaps"), "no valid verification"),
}


def without(data: dict[str, Any], name: str) -> None:
    data["checks"] = [check for check in data["checks"] if check["name"] != name]


def marked(folder: Path, change: Callable[[dict[str, Any]], Any] = lambda data: None) -> Record:
    path, kept = Store(folder).add(record("wavelet"))
    write_verification(path, mark(kept))
    data = json.loads(beside(path).read_text())
    change(data)
    beside(path).write_text(json.dumps(data))
    return kept


def test_a_whole_mark_marks(tmp_path: Path) -> None:
    skipped = Skipped()
    marked(tmp_path)
    assert len(load_verifications(tmp_path, skipped)) == 1
    assert skipped.reasons == []


@pytest.mark.parametrize(("change", "says"), MARKS.values(), ids=MARKS)
def test_what_marks_nothing(change: Callable[[dict[str, Any]], Any], says: str, tmp_path: Path) -> None:
    skipped = Skipped()
    kept = marked(tmp_path, change)
    publish([kept], tmp_path, "quantize", skipped=skipped)
    assert load_verifications(tmp_path) == {}
    assert says in skipped.reasons[0]
    assert len(skipped.reasons) == 1
    assert "✓" not in (tmp_path / "boards" / "toy" / "README.md").read_text()


def test_a_damaged_result_of_the_conformance_kit(results: Path, tmp_path: Path) -> None:
    (results / "checks").mkdir()
    (results / "checks" / "wavelet.json").write_text('{"format": 1')
    done = command("publish", "--results", results, "--out", tmp_path / "board")
    assert done.returncode == 0, done.stderr
    assert "wavelet.json is no valid result" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_part_that_cannot_be_replaced_leaves_all_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(RECORDS, tmp_path, "quantize")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    rename = os.rename
    for failing in ("README.md", "boards", "index.html", "methods", "style.css"):

        def fails(source: Path, target: Path, failing: str = failing) -> None:
            if Path(source).parent.name == "fresh" and Path(source).name == failing:
                raise OSError(5, "Input/output error")
            rename(source, target)

        monkeypatch.setattr(os, "rename", fails)
        with pytest.raises(OSError, match="Input/output"):
            publish(RECORDS, tmp_path, "wavelet")
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    monkeypatch.undo()
    publish(RECORDS, tmp_path, "wavelet")
    page = tmp_path / "boards" / "toy" / "w8a2-8-inference-closed.html"
    assert page.read_bytes() != before[page]


def test_what_was_left_behind_is_removed(tmp_path: Path) -> None:
    """A folder at once, whether it was left while it was made or half removed; a file after an hour."""
    publish(RECORDS, tmp_path, "quantize")
    folder, half_removed = tmp_path / ".publish-abc", tmp_path / ".publish-def"
    folder.mkdir()
    (half_removed / "replaced" / "boards").mkdir(parents=True)
    left = [tmp_path / "records" / "toy" / ".abc.tmp", tmp_path / "checks" / ".abc.tmp"]
    left[1].parent.mkdir(exist_ok=True)
    for path in left:
        path.write_text("{")
    publish(RECORDS, tmp_path, "quantize")
    assert not folder.exists()
    assert not half_removed.exists()
    assert all(path.exists() for path in left), "somebody may be writing them"
    for path in left:
        os.utime(path, (time.time() - 2 * exchange._HOUR,) * 2)
    publish(RECORDS, tmp_path, "quantize")
    assert not any(path.exists() for path in left)


def test_a_folder_that_somebody_removes_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def removed_at_once(*, dir: Path, prefix: str) -> str:
        made.append(tempfile_mkdtemp(dir=dir, prefix=prefix))
        if len(made) == 1:
            remove_leftovers(tmp_path)
        return made[-1]

    tempfile_mkdtemp = exchange.tempfile.mkdtemp
    monkeypatch.setattr(exchange.tempfile, "mkdtemp", removed_at_once)
    with exchange.replaced_parts(tmp_path) as fresh:
        (fresh / "page").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    assert len(made) == 2


WAITING = """
import sys, time
from pathlib import Path
from actbench.leaderboard.exchange import replaced_parts
with replaced_parts(Path(sys.argv[1])) as fresh:
    (fresh / "page").write_text("new")
    print("ready", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_publishing_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", WAITING, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        remove_leftovers(tmp_path)
        (unfinished,) = tmp_path.iterdir()
        assert (unfinished / "fresh" / "page").read_text() == "new"
    finally:
        process.kill()
        process.wait()
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []
