"""Findings say what the records say: also when one record turns them over."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest

from actbench.budget import Bits
from actbench.errors import UserError
from actbench.leaderboard.board import boards
from actbench.leaderboard.findings.ceilings import of_board
from actbench.leaderboard.findings.methods import standings
from actbench.leaderboard.findings.pairs import between_boards
from actbench.leaderboard.findings.sentence import Link, Sentence, plain
from actbench.leaderboard.frame import load_records
from actbench.leaderboard.markdown import findings_text
from actbench.leaderboard.publish import publish
from actbench.leaderboard.readme import BEGIN, END, parts_around
from actbench.recipe import RecipeName
from actbench.records.record import Record
from actbench.settings import Inference
from tests.leaderboard.made_up import record

EASY = numpy.random.default_rng(0).random(400)


def right(share: float) -> list[float]:
    """1 for the easiest images: of two rows the better one is right wherever the other is."""
    return [float(value) for value in share > EASY]


def costs(time: float, memory: int) -> dict[str, Any]:
    timing = {"median": 1.0, "quartiles": (1.0, 1.0), "samples": [1.0]}
    subject = {"median": time, "quartiles": (time, time), "samples": [time]}
    both = {"batch": 1, "subject": subject, "baseline": timing, "ratio": time, "ratio_quartiles": (time, time)}
    kept = {"peak_bytes": 1024 * memory, "reserved_bytes": None, "source": "tensors", "reference_peak_bytes": 1 << 20}
    return {"latency": {**both, "encode": 0.1, "decode": 0.1}, "memory": kept}


def measured(method: str, share: float, time: float = 1.0, memory: int = 100, **more: Any) -> Record:
    return record(method, hits=right(share), parts=costs(time, memory), **more)


RECORDS = [
    measured("ahead", 0.90, time=3.0, memory=300),
    measured("quick", 0.89, time=1.2, memory=200),
    measured("small", 0.89, time=2.0, memory=50),
    measured("behind", 0.80, time=1.0, memory=10),
    measured("fallen", 0.30),
    record("stuck", value=None, status="unsupported", reason="needs 10 bits"),
]


def said(records: Sequence[Record]) -> list[str]:
    (board,) = boards(records, "quantize")
    ((ceiling, sentences),) = of_board(board)
    assert ceiling == "8x"
    return [plain(sentence) for sentence in sentences]


def test_the_sentences_of_a_ceiling_are_what_the_records_say() -> None:
    best, cheapest, fallen, failed = said(RECORDS)
    share = {name: 100 * numpy.mean(right(of)) for name, of in {"ahead": 0.9, "quick": 0.89, "behind": 0.8}.items()}
    assert best.startswith(f"ahead has the best top-1 at 8x: {share['ahead']:.2f} ± 1.00 %")
    assert "latency 3.00x, memory 300 KiB. 2 of 4 others cannot be told apart from it." in best
    assert f"The next rank begins with behind: {share['behind']:.2f} ± 1.00 %" in best
    assert "McNemar's exact test, Holm over 10 pairs" in best
    assert cheapest.startswith("Of the first rank quick is the fastest (latency 1.20x")
    assert "small is the smallest in memory (memory 50 KiB" in cheapest
    assert fallen.startswith("Collapsed: fallen (Δ ")
    assert failed == "Without a result at 8x: stuck (unsupported)."


def test_the_p_value_is_that_of_the_test() -> None:
    """`ahead` has right what `behind` has, and more: a sign test on these, times ten pairs at most."""
    more = int(numpy.sum(right(0.90)) - numpy.sum(right(0.80)))
    found = re.search(r"p (?:= ([\d.e-]+)|< 0.001)", said(RECORDS)[0])
    assert found is not None
    assert (float(found[1]) if found[1] else 0.0) <= 10 * 2 * 0.5**more + 0.001


def test_one_record_turns_a_sentence_over() -> None:
    best, cheapest, *_ = said([*RECORDS, measured("newer", 0.99, time=5.0, memory=400)])
    assert best.startswith("newer has the best top-1 at 8x")
    assert "All others are told apart from it." in best
    assert cheapest.startswith("Collapsed"), "alone in its rank it is compared with nobody"
    _, cheapest, *_ = said([*RECORDS, measured("newer", 0.895, time=1.1, memory=50)])
    assert "is the fastest and the smallest in memory, as 1 more are (latency 1.10x, memory 50 KiB" in cheapest


def test_a_busy_time_is_not_the_fastest() -> None:
    load = {"versions": {}, "machine": {}, "revision": None, "load": {"start": 1, "end": 1, "others": 0.9}}
    busy = measured("hasty", 0.89, time=0.5, memory=60, environment=load)
    assert "quick is the fastest" in said([*RECORDS, busy])[1]


def test_the_projects_readme_says_what_its_records_say() -> None:
    """Else run `actbench publish --results leaderboards --out leaderboards --readme README.md`."""
    root = Path(__file__).parents[2]
    by_workload: dict[str, list[Record]] = {}
    for one in load_records(root / "leaderboards"):
        by_workload.setdefault(one.cell.workload.name, []).append(one)
    before, behind = parts_around(root / "README.md")
    found = findings_text({name: boards(by_workload[name], "quantize") for name in sorted(by_workload)}, "leaderboards")
    assert (root / "README.md").read_text() == f"{before}\n{found}\n{behind}"


def links(sentence: Sentence) -> list[Link]:
    return [part for part in sentence if isinstance(part, Link)]


def test_every_sentence_leads_to_its_records(tmp_path: Path) -> None:
    publish(RECORDS, tmp_path, "quantize")
    (board,) = boards(RECORDS, "quantize")
    sentences = [sentence for _, of in of_board(board) for sentence in of]
    assert all(links(sentence) for sentence in sentences)
    for link in (link for sentence in sentences for link in links(sentence)):
        assert (tmp_path / link.page).is_file()
        assert (tmp_path / link.file).is_file()


def moved(of: Record, *, bits: str = "w8a2-8", recover: int = 0, recipe: RecipeName = "protocol") -> Record:
    budget = replace(of.cell.budget, bits=Bits.parse(bits))
    cell = replace(of.cell, budget=budget, settings=Inference(recover=recover, recipe=recipe))
    more = {"recovery": {"recipe": {}, "losses": [1.0] * (recover + 1)}} if recover else {}
    data = of.model_dump(mode="json", context={"plain": True})
    measurements = {**data["measurements"], **more}
    return Record.model_validate({**data, "key": cell.key, "spec": cell.canonical(), "measurements": measurements})


def test_open_against_closed() -> None:
    closed, trained = [measured("ahead", 0.7), measured("quick", 0.9)], [measured("ahead", 0.9), measured("quick", 0.7)]
    ((title, (sentence,)),) = between_boards(
        boards([*closed, *(moved(one, recover=20) for one in trained)], "quantize")
    )
    assert title == "Open (20 steps) against closed, w8a2-8"
    assert plain(sentence).startswith("At 8x, of 2 rows 1 are better and 1 worse")
    assert "most, ahead from " in plain(sentence)
    assert "least, quick from " in plain(sentence)


def test_open_by_another_recipe_says_so() -> None:
    records = [measured("ahead", 0.7), moved(measured("ahead", 0.9), recover=20, recipe="paper")]
    ((title, _),) = between_boards(boards(records, "quantize"))
    assert title == "Open (20 steps, recipe paper) against closed, w8a2-8"


def test_boards_of_an_older_protocol_say_so() -> None:
    records = [measured("ahead", 0.7), moved(measured("ahead", 0.9), recover=20)]
    shown = [replace(board, key=replace(board.key, protocol=1)) for board in boards(records, "quantize")]
    ((title, _),) = between_boards(shown)
    assert title == "Open (20 steps) against closed, w8a2-8, protocol 1"


def test_fixed_against_free() -> None:
    wide = [moved(measured("ahead", 0.7), bits="w8a8"), moved(measured("quick", 0.89), bits="w8a8")]
    free = [moved(measured("ahead", 0.8)), moved(measured("quick", 0.89))]
    found = {title: [plain(one) for one in of] for title, of in between_boards(boards([*wide, *free], "quantize"))}
    (title,) = found
    assert title == "Free widths (w8a2-8) against fixed ones (w8a8), closed"
    gain = 100 * (numpy.mean(right(0.8)) - numpy.mean(right(0.7)))
    (sentence,) = found[title]
    assert sentence.startswith("At 8x, of 2 rows 1 are better and 0 worse")
    assert f"{gain:+.2f} ± " in sentence


def test_strengths_and_weaknesses() -> None:
    found, first = standings(boards(RECORDS, "quantize")), "In the first rank in 1 of 1 rows"
    assert (
        plain(found["quick"].strengths) == "In the first rank in 1 of 1 rows; the fastest there in 1 (toy 8x w8a2-8)."
    )
    assert plain(found["small"].strengths).endswith("the smallest there in 1 (toy 8x w8a2-8).")
    assert plain(found["fallen"].weaknesses).startswith("collapses in 1 (toy 8x w8a2-8)")
    assert plain(found["stuck"].weaknesses) == "has no result in 1 (toy 8x w8a2-8)."
    assert plain(found["behind"].strengths) == "In the first rank in 0 of 1 rows."
    turned = standings(boards([*RECORDS, measured("newer", 0.99)], "quantize"))
    assert plain(turned["newer"].strengths) == f"{first}; alone in 1 (toy 8x w8a2-8)."
    assert plain(turned["ahead"].strengths) == "In the first rank in 0 of 1 rows."


@pytest.mark.parametrize(("better", "value", "falls"), [("more", 45.0, True), ("more", 55.0, False)])
def test_what_a_collapse_is(better: str, value: float, falls: bool) -> None:
    """Half of the way from fp32's 90 down to the reference point of 10."""
    (board,) = boards([record("one", value=value), record("two", value=89.0)], "quantize")
    sentences = [plain(one) for _, of in of_board(board) for one in of]
    assert any(one.startswith("Collapsed: one") for one in sentences) == falls


def test_findings_stand_between_the_marks_of_a_readme(tmp_path: Path) -> None:
    readme, folder = tmp_path / "README.md", tmp_path / "leaderboards"
    readme.write_text(f"# Mine\n\n{BEGIN}\noutdated\n{END}\n\nThe end.\n")
    publish(RECORDS, folder, "quantize", readme=readme)
    text = readme.read_text()
    assert text.startswith("# Mine\n")
    assert text.endswith("The end.\n")
    assert "outdated" not in text
    (target,) = re.findall(r"\[ahead\]\((.*?)\)", text)
    assert (tmp_path / target).is_file()
    publish(RECORDS, folder, "quantize", readme=readme)
    assert readme.read_text() == text


def test_a_readme_without_marks_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Mine\n")
    with pytest.raises(UserError, match="no lines"):
        publish(RECORDS, tmp_path / "leaderboards", "quantize", readme=readme)
    assert not (tmp_path / "leaderboards").exists()
    with pytest.raises(UserError, match="cannot be read"):
        publish(RECORDS, tmp_path / "leaderboards", "quantize", readme=tmp_path / "none.md")
