"""The store: numbered attempts, whole files or none, nothing ever overwritten."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import NoReturn

import pytest

from actbench.errors import UserError
from actbench.records.record import Record
from actbench.records.store import Store, cells_below, read_record, read_status, write_once
from actbench.spec import CellSpec

Make = Callable[..., Record]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def newest_files(folder: Path) -> list[Path]:
    return [attempts[-1] for attempts in cells_below(folder)]


def files(store: Store) -> list[Path]:
    return sorted(path for path in store.folder.rglob("*") if path.is_file())


def test_what_is_added_can_be_read(store: Store, make_record: Make, cell: CellSpec) -> None:
    path, added = store.add(make_record(status="timeout", reason="61 s", warnings=["slow"]))
    assert path == store.folder / "shapes" / f"{cell.key}-1.json"
    assert read_record(path) == added == make_record(status="timeout", reason="61 s", warnings=["slow"])
    assert read_status(path) == "timeout"
    assert json.loads(path.read_text())["key"] == cell.key
    assert path.stat().st_mode & 0o777 == 0o644


def test_attempts_number_up_and_stay(store: Store, make_record: Make, cell: CellSpec) -> None:
    assert store.latest([cell]) == [None]
    first, _ = store.add(make_record(reason="first"))
    before = first.read_bytes()
    # Past nine: by number, not by letter.
    for attempt in range(2, 12):
        path, record = store.add(make_record(reason="again"))
        assert record.attempt == attempt
        assert path.name == f"{cell.key}-{attempt}.json"
    assert first.read_bytes() == before
    assert store.latest([cell]) == [path]
    assert newest_files(store.folder) == [path]
    assert len(files(store)) == 11


def test_the_newest_attempt_of_each_cell(store: Store, make_record: Make, cell: CellSpec) -> None:
    cells = [replace(cell, seed=seed) for seed in range(3)]
    cells.append(replace(cell, workload=replace(cell.workload, name="cifar10")))
    records = [make_record(key=other.key, spec=other.canonical()) for other in cells]
    for record in [*records, *records[:2]]:
        store.add(record)
    newest = [2, 2, 1, 1]
    expected = [
        store.folder / other.workload.name / f"{other.key}-{attempt}.json"
        for other, attempt in zip(cells, newest, strict=True)
    ]
    assert newest_files(store.folder) == sorted(expected)
    assert store.latest(cells) == expected
    assert store.latest([replace(cells[3], seed=9)]) == [None]


def test_what_others_wrote_since_is_neither_replaced_nor_hidden(tmp_path: Path, make_record: Make) -> None:
    """Each of two commands has listed the folder before the other writes."""
    one, other = Store(tmp_path), Store(tmp_path)
    for store, attempt in ((one, 1), (other, 2), (one, 3), (one, 4), (other, 5)):
        path, record = store.add(make_record(reason=f"attempt {attempt}"))
        assert record.attempt == attempt
        assert one.latest([record.cell]) == other.latest([record.cell]) == [path]


def test_a_folder_is_listed_once(
    store: Store, make_record: Make, cell: CellSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many cells are added and looked up."""
    cells = [replace(cell, seed=seed) for seed in range(20)]
    listed: list[Path] = []
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda path, pattern: listed.append(path) or glob(path, pattern))
    for other in cells:
        store.add(make_record(key=other.key, spec=other.canonical()))
    assert len(listed) == 1
    assert None not in store.latest(cells)
    assert len(listed) == 2


def test_many_at_once_and_none_twice(store: Store, make_record: Make, cell: CellSpec) -> None:
    first, again = make_record(reason="first"), make_record(reason="again")
    assert [path.name[20:] for path in store.add_missing([first, again, first])] == ["-1.json", "-2.json", "-1.json"]
    assert [path.name[20:] for path in store.add_missing([again])] == ["-2.json"]
    assert store.add_once(first) == (store.folder / "shapes" / f"{cell.key}-1.json", False)
    assert len(files(store)) == 2


def test_an_empty_store(store: Store, cell: CellSpec) -> None:
    assert newest_files(store.folder) == []
    assert store.latest([cell]) == [None]
    assert not store.folder.exists()


def test_threads_that_write_at_once(store: Store, make_record: Make) -> None:
    barrier = Barrier(8)

    def add(number: int) -> tuple[Path, str]:
        record = make_record(reason=f"by {number}")
        barrier.wait()
        return store.add(record)[0], record.reason

    with ThreadPoolExecutor(8) as pool:
        written = dict(pool.map(add, range(8)))
    assert len(written) == 8
    assert {path: read_record(path).reason for path in written} == written
    assert sorted(read_record(path).attempt for path in written) == list(range(1, 9))
    assert files(store) == sorted(written)


ADD = """
import sys
from pathlib import Path
from actbench.records.record import Record
from actbench.records.store import Store
record = Record.model_validate_json(sys.argv[2])
sys.stdin.read()
for _ in range(20):
    Store(Path(sys.argv[1])).add(record)
"""


def test_processes_that_write_at_once(tmp_path: Path, make_record: Make) -> None:
    command = [sys.executable, "-c", ADD, str(tmp_path), make_record().model_dump_json()]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()  # now
    assert [process.wait(30) for process in processes] == [0, 0]
    written = files(Store(tmp_path))
    assert sorted(read_record(path).attempt for path in written) == list(range(1, 41))


def test_a_name_taken_meanwhile_is_left_alone(
    store: Store, make_record: Make, monkeypatch: pytest.MonkeyPatch, cell: CellSpec
) -> None:
    link = os.link
    taken = store.folder / "shapes" / f"{cell.key}-1.json"

    def late(source: str, target: Path, **more: int) -> None:
        if not taken.exists():
            taken.write_text("somebody else's")
        link(source, target, **more)

    monkeypatch.setattr(os, "link", late)
    path, record = store.add(make_record())
    assert record.attempt == 2
    assert files(store) == [taken, path]
    assert taken.read_text() == "somebody else's"


@pytest.mark.parametrize("step", ["link", "fsync", "fchmod"])
def test_nothing_is_left_behind_where_writing_fails(
    store: Store, make_record: Make, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object, **more: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, step, fail)
        with pytest.raises(UserError, match="No space"):
            store.add(make_record())
    assert files(store) == []
    assert store.add(make_record())[1].attempt == 1


def test_unfinished_files_are_no_records(store: Store, make_record: Make, cell: CellSpec) -> None:
    """What a process leaves that was killed while it wrote."""
    path, _ = store.add(make_record())
    (path.parent / ".abandoned.tmp").write_text("{")
    assert newest_files(store.folder) == [path]
    assert store.latest([cell]) == [path]


KILLED = """
import os, signal, sys
from pathlib import Path
from actbench.records import store
store.os.link = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
store.write_once(Path(sys.argv[1]), "whole")
"""


def test_a_writer_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "file")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_where_no_file_is_nameless_one_with_a_name_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actbench.records.store._nameless", lambda folder: None)
    assert write_once(tmp_path / "file", "first")
    assert not write_once(tmp_path / "file", "second")
    assert (tmp_path / "file").read_text() == "first\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_written_once_can_be_read_by_all(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        assert write_once(tmp_path / "file", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
