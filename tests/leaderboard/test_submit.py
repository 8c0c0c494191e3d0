"""From records to a pull request: what is laid out, and what is refused."""

import json
from pathlib import Path

import pytest

from actbench.errors import UserError
from actbench.info import MethodInfo, Option
from actbench.leaderboard.frame import load_records, load_verifications
from actbench.leaderboard.publish import publish
from actbench.leaderboard.submit import lay_out
from actbench.records.skipped import Skipped
from actbench.records.store import Store
from actbench.records.verification import write_verification
from tests.leaderboard.made_up import mark, record

MACHINE = {"versions": {"torch": "2"}, "machine": {"cpu": "one"}, "revision": None}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    store = Store(tmp_path / "results")
    path, kept = store.add(record("wavelet", environment=MACHINE))
    store.add(record("none", "1x", 90.0, 1024, environment=MACHINE))
    write_verification(path, mark(kept))
    (tmp_path / "leaderboards").mkdir()
    return tmp_path


def test_records_and_their_verifications_are_laid_out_and_published(results: Path) -> None:
    boards = results / "leaderboards"
    done = lay_out([results / "results"], boards)
    assert [path.parent for path in done.added] == [boards / "records" / "toy"] * 2
    assert len(load_verifications(boards)) == 1
    publish(load_records(boards), boards, "quantize", verifications=load_verifications(boards))
    assert "✓ 2025-02-03" in (boards / "boards" / "toy" / "w8a2-8-inference-closed.html").read_text()
    (page,) = [
        p for p in (boards / "boards" / "toy" / "records").glob("*.html") if "Published and repeated" in p.read_text()
    ]
    assert "another" in page.read_text()
    assert len(load_verifications(boards)) == 1, "publishing keeps it"


def test_what_is_there_is_not_changed(results: Path) -> None:
    boards = results / "leaderboards"
    lay_out([results / "results"], boards)
    before = {path: path.read_bytes() for path in boards.rglob("*.json")}
    again = lay_out([results / "results"], boards)
    assert again.added == ()
    assert len(again.present) == 2
    better = record("wavelet", value=84.0, environment=MACHINE)
    path, _ = Store(results / "more").add(better)
    (added,) = lay_out([path], boards).added
    assert added.name == f"{better.key}-2.json"
    (boards / "records" / "toy" / f"{better.key}-1.json").rename(results / "kept.json")
    again = record("wavelet", value=84.5, environment=MACHINE)
    (newest,) = lay_out([Store(results / "third").add(again)[0]], boards).added
    assert newest.name == f"{better.key}-3.json", "above the newest, also where older ones are gone"
    newest.unlink()
    (results / "kept.json").rename(boards / "records" / "toy" / f"{better.key}-1.json")
    assert {p: p.read_bytes() for p in before} == before
    shown = {r.cell.method.name: r.measurements.quality.value for r in load_records(boards) if r.measurements.quality}
    assert shown == {"none": 90.0, "wavelet": 84.0}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"status": "crash"}, "ended as crash"),
        ({"environment": None}, "where it was measured"),
        ({"key": "0" * 20}, "no valid record"),
        ({"seconds": float("nan")}, "no valid record"),
        ({"spec": None}, "no valid record"),
    ],
)
def test_what_cannot_be_submitted_is_refused_and_nothing_is_written(
    results: Path, change: dict[str, object], says: str
) -> None:
    good = next((results / "results").rglob("*-1.json"))
    good.write_text(json.dumps(json.loads(good.read_text()) | change))
    with pytest.raises(UserError, match=says):
        lay_out([results / "results"], results / "leaderboards")
    assert list((results / "leaderboards").iterdir()) == []


def test_an_edit_takes_the_mark_away(results: Path) -> None:
    (path,) = [p for p in (results / "results").rglob("*-1.json") if "wavelet" in p.read_text()]
    assert len(load_verifications(results / "results")) == 1
    data = json.loads(path.read_text())
    data["seconds"] = 0.5
    path.write_text(json.dumps(data))
    skipped = Skipped()
    assert load_verifications(results / "results", skipped) == {}
    assert "of another record" in skipped.reasons[0]


def test_a_damaged_verification_is_named(results: Path) -> None:
    (path,) = (results / "results").rglob("*.verified.json")
    path.write_text("{")
    skipped = Skipped()
    assert load_verifications(results / "results", skipped) == {}
    assert "no valid verification" in skipped.reasons[0]
    with pytest.raises(UserError, match="no valid verification"):
        lay_out([results / "results"], results / "leaderboards")


def test_an_option_that_the_method_does_not_have_is_named(results: Path) -> None:
    path, _ = Store(results / "more").add(record("wavelet", options={"magic": 9}, environment=MACHINE))
    info = MethodInfo("wavelet", "Wavelets", "a.b:C", "1", options=(Option("levels", 3, "how deep"),))
    with pytest.raises(UserError, match=rf"{path.name}: method wavelet has no option 'magic'"):
        lay_out([path], results / "leaderboards", {"wavelet": info})
    wrong, _ = Store(results / "wrong").add(record("wavelet", options={"levels": "many"}, environment=MACHINE))
    with pytest.raises(UserError, match="give a value of type int"):
        lay_out([wrong], results / "leaderboards", {"wavelet": info})
    assert list((results / "leaderboards").iterdir()) == []
    assert len(lay_out([path], results / "leaderboards").added) == 1, "nobody knows options of what is not installed"


@pytest.mark.parametrize("change", [{"record": "0" * 64}, {"checks": []}], ids=["foreign", "empty"])
def test_a_mark_that_marks_nothing_is_refused(results: Path, change: dict[str, object]) -> None:
    (path,) = (results / "results").rglob("*.verified.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match="marks nothing"):
        lay_out([results / "results"], results / "leaderboards")
    assert list((results / "leaderboards").iterdir()) == []
