"""Runs that are at one store at the same time share the work."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from actbench.harness.schedule import ScheduledCell
from actbench.harness.sharing import unclaimed
from actbench.records.claims import Claims
from actbench.records.store import Store
from actbench.spec import CellSpec
from tests.leaderboard.made_up import record

HOSTILE = Path(__file__).with_name("hostile.py")
RECORDS = [record(name) for name in "abc"]
CELLS = [one.cell for one in RECORDS]
SCHEDULED = [ScheduledCell(cell) for cell in CELLS]


class Held(Claims):
    """Claims of which another run has some."""

    def __init__(self, file: Path, others: set[str]) -> None:
        super().__init__(file)
        self.others = others
        self.mine: list[str] = []

    def take(self, key: str) -> bool:
        self.mine += [key] if key not in self.others else []
        return key not in self.others

    def give_back(self, key: str) -> None:
        self.mine.remove(key)


def test_what_others_have_claimed_comes_last_and_is_waited_for(tmp_path: Path) -> None:
    store, elsewhere = Store(tmp_path), []
    with Held(tmp_path / ".claims", {CELLS[0].key, CELLS[1].key}) as claims:
        cells = unclaimed(SCHEDULED, store, claims, elsewhere.append)
        assert next(cells) == CELLS[2]
        assert next(cells) is None
        assert next(cells) is None, "as long as the other run is at it"
        store.add(RECORDS[0])
        claims.others.clear()  # the other run ended, with one record of two
        assert list(cells) == [CELLS[1]]
        assert elsewhere == [CELLS[0]]
        assert claims.mine == [CELLS[2].key, CELLS[1].key]


def test_a_record_from_before_does_not_count(tmp_path: Path) -> None:
    """It is why the cell is to run again: it failed, or is to be measured anew."""
    store, elsewhere = Store(tmp_path), []
    store.add(RECORDS[0])
    scheduled = [ScheduledCell(CELLS[0], attempt=1), ScheduledCell(CELLS[1])]
    with Claims(tmp_path / ".claims") as claims:
        cells: list[CellSpec | None] = []
        for cell in unclaimed(scheduled, store, claims, elsewhere.append):
            cells.append(cell)
            store.add(RECORDS[1])  # meanwhile, by another run
        assert cells == [CELLS[0]]
        assert elsewhere == [CELLS[1]]


def test_a_record_counts_that_came_after_the_schedule(tmp_path: Path) -> None:
    """Another run has added it while this one was reading what cells took before."""
    store, elsewhere = Store(tmp_path), []
    store.add(RECORDS[0])
    with Claims(tmp_path / ".claims") as claims:
        assert list(unclaimed(SCHEDULED[:2], store, claims, elsewhere.append)) == [CELLS[1]]
        assert elsewhere == [CELLS[0]]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [[], ["--workers", "2"]])
def test_two_commands_at_once_measure_every_cell_once(workers: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "actbench", "run", "--workload", "toy", "--plugin", str(HOSTILE)]
    command += ["--methods", "quantize,waiting,dct", "--ceilings", "1x,2x,4x", "--results", str(tmp_path), *workers]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [run.communicate(timeout=280) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    read = [json.loads(path.read_text()) for path in (tmp_path / "records" / "toy").glob("*.json")]
    assert set(Counter(one["key"] for one in read).values()) == {1}
    assert {one["attempt"] for one in read} == {1}
    assert len(read) == 10
    for out, err in said:
        assert "10 of 10 cells have a record" in out
        measured = sum(": ok, " in line for line in err.splitlines())
        assert 0 < measured < 10, "both did some of it"
