"""Pages of many records: several processes write what one would, and say so where they are ended."""

import multiprocessing
import os
from pathlib import Path

import pytest

from actbench.errors import UserError
from actbench.leaderboard.record_pages import Pages, write_record_pages, written_meanwhile
from actbench.records.verification import digest
from tests.leaderboard.made_up import mark, record

RECORDS = [record(f"method-{number}") for number in range(250)]
MARKS = {digest(one): mark(one) for one in RECORDS[::50]}


def pages(folder: Path) -> Pages:
    return [(folder / one.cell.method.name / "page.html", one) for one in RECORDS]


def test_several_processes_write_what_one_would(tmp_path: Path) -> None:
    write_record_pages(pages(tmp_path / "one"), MARKS)
    with written_meanwhile(pages(tmp_path / "several"), MARKS):
        writers = multiprocessing.active_children()
    assert writers
    for (one, _), (other, _) in zip(pages(tmp_path / "one"), pages(tmp_path / "several"), strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert "the same was found" in (tmp_path / "several" / "method-50" / "page.html").read_text()


def test_writers_that_are_ended_are_told_of(tmp_path: Path) -> None:
    waits_for_a_reader, _ = pages(tmp_path)[0]
    waits_for_a_reader.parent.mkdir()
    os.mkfifo(waits_for_a_reader)
    with pytest.raises(UserError, match="publish again"):
        _end_the_writers(tmp_path)


def _end_the_writers(folder: Path) -> None:
    with written_meanwhile(pages(folder), MARKS):
        for writer in multiprocessing.active_children():
            writer.kill()


def test_what_a_writer_meets_reaches_the_command(tmp_path: Path) -> None:
    (tmp_path / "method-200").write_text("a file where a folder should be")
    with pytest.raises(OSError, match="method-200"), written_meanwhile(pages(tmp_path), MARKS):
        pass
    assert not multiprocessing.active_children()
