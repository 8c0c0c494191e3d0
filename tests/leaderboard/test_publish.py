"""Leaderboards from made-up records: ranks, files, bytes that repeat, and text that stays text."""

import csv
import html
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import actbench
from actbench.budget import REFERENCE, Bits, Budget, Ceiling
from actbench.errors import UserError
from actbench.info import MethodInfo, Option
from actbench.leaderboard.board import boards
from actbench.leaderboard.frame import load_records
from actbench.leaderboard.markdown import escape
from actbench.leaderboard.pages.commands import command_of
from actbench.leaderboard.publish import _csv, publish
from actbench.leaderboard.site import Site
from actbench.records.record import Record
from actbench.records.store import Store
from actbench.spec import PROTOCOL, CellSpec, MethodSpec, WorkloadSpec
from tests.leaderboard.made_up import RECORDS, record

SCRIPT = "<script>alert(1)</script>"


def test_a_board_ranks_by_ceiling_and_compares_curves() -> None:
    (board,) = boards(RECORDS, "quantize")
    assert [(row.name, row.ceiling, row.rank and row.rank.number) for row in board.rows] == [
        ("none", "", None),
        ("quantize", "4x", 1),
        ("wavelet", "4x", 1),
        ("quantize", "8x", 1),
        ("wavelet", "8x", 1),
        ("dropping", "8x", 3),
        ("wavelet", "16x", None),
    ]


def test_a_reference_stands_once_on_every_board() -> None:
    def at(bits: str) -> Record:
        spec = CellSpec(
            WorkloadSpec("toy", {}), MethodSpec("m", "1", {}), Budget(Ceiling.parse("8x"), Bits.parse(bits))
        )
        return record("m").model_copy(update={"key": spec.key, "spec": spec.canonical()})

    plain = CellSpec(WorkloadSpec("toy", {}), MethodSpec("none", "1", {}), REFERENCE)
    reference = record("none", "1x").model_copy(update={"key": plain.key, "spec": plain.canonical()})
    found = boards([at("w8a8"), at("w4a4"), at("w8a2-8"), reference], "quantize")
    assert [[row.name for row in board.rows] for board in found] == [["none", "m"]] * 3


def test_protocols_are_never_ranked_together() -> None:
    """Nor averaged over their seeds."""

    def of(protocol: int, seed: int) -> Record:
        cell = replace(record("m").cell, protocol=protocol, seed=seed)
        return record("m").model_copy(update={"key": cell.key, "spec": cell.canonical()})

    both = boards([of(PROTOCOL, 0), of(PROTOCOL + 1, 1)], "quantize")
    assert [[len(row.records) for row in board.rows] for board in both] == [[1], [1]]
    assert [[row.rank and row.rank.number for row in board.rows] for board in both] == [[1], [1]]
    assert both[1].key.title == f"{both[0].key.title}, protocol {PROTOCOL + 1}"


@pytest.mark.parametrize(("installed", "said"), [("1", ""), ("2", "older version"), ("1.0.1", "older version")])
def test_rows_of_an_older_version_are_marked(installed: str, said: str, tmp_path: Path) -> None:
    methods = {"wavelet": MethodInfo("wavelet", "Wavelets", "a.b:C", installed)}
    (board,) = boards(RECORDS, "quantize", methods=methods)
    assert {row.mark for row in board.rows if row.name == "wavelet"} == {said}
    assert {row.mark for row in board.rows if row.name != "wavelet"} == {""}
    publish(RECORDS, tmp_path, "quantize", methods)
    assert ("older version" in (tmp_path / "boards" / "toy" / "README.md").read_text()) == bool(said)


def test_options_that_differ_are_in_the_name() -> None:
    (board,) = boards([record("w", options={"levels": level, "kind": "a"}) for level in (1, 2)], "quantize")
    assert {row.name for row in board.rows} == {"w levels=1", "w levels=2"}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    publish(RECORDS, tmp_path / "a", "quantize")
    publish(RECORDS, tmp_path / "b", "quantize")
    publish(list(reversed(RECORDS)), tmp_path / "b", "quantize")
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_what_is_published_can_be_read_again(tmp_path: Path) -> None:
    publish(RECORDS, tmp_path, "quantize")
    assert {read.key for read in load_records(tmp_path)} == {own.key for own in RECORDS}
    rows = list(csv.DictReader((tmp_path / "boards" / "toy" / "rows.csv").open()))
    assert len(rows) == len(json.loads((tmp_path / "boards" / "toy" / "rows.json").read_text())) == len(RECORDS)
    frame = actbench.load_results(tmp_path)
    assert frame.groupby("method").quality.max().to_dict()["wavelet"] == 89.8
    assert (tmp_path / "records" / "toy" / rows[0]["record"]).exists()
    text = (tmp_path / "boards" / "toy" / "README.md").read_text()
    assert "needs \\| 10 bits" in text
    assert "| 1 | wavelet | 4x | 89.80 ± 1.00 |" in text


def test_no_record_is_dropped_that_is_not_replaced(tmp_path: Path) -> None:
    """Neither of a workload that is published anew, nor of another one, nor an earlier attempt of the same cell."""
    others = record("other")
    publish([*RECORDS, others], tmp_path, "quantize")
    before = {path: path.read_bytes() for path in (tmp_path / "records").rglob("*.json")}
    assert len(before) == len(RECORDS) + 1
    newer = record("wavelet", "8x", 86.0)
    publish([newer, record("wavelet", "2x", 90.0)], tmp_path, "quantize")
    publish([newer], tmp_path, "quantize")
    after = {path: path.read_bytes() for path in (tmp_path / "records").rglob("*.json")}
    assert after.items() > before.items()
    assert len(after) == len(before) + 2, "one of a new cell, one newer attempt, and nothing for what was there already"
    shown = {kept.file_name: kept for kept in load_records(tmp_path)}
    assert f"{newer.key}-2.json" in shown
    assert f"{newer.key}-1.json" not in shown
    assert (tmp_path / "boards" / "toy" / "records" / f"{others.key}-1.html").exists()


def test_publishing_where_the_records_are_keeps_every_attempt(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for value in (80.0, 81.0, 82.0):
        store.add(record("wavelet", value=value))
    command = [sys.executable, "-m", "actbench", "publish", "--results", str(tmp_path), "--out", str(tmp_path)]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "1 records of 1 workloads" in done.stdout
    assert len(list((tmp_path / "records" / "toy").iterdir())) == 3
    assert "82.00" in (tmp_path / "boards" / "toy" / "README.md").read_text()


def test_a_workload_that_is_called_as_a_folder_of_ours(tmp_path: Path) -> None:
    def named(workload: str) -> Record:
        spec = CellSpec(WorkloadSpec(workload, {}), MethodSpec("m", "1", {}), record("m").cell.budget)
        return record("m").model_copy(update={"key": spec.key, "spec": spec.canonical()})

    names = ["records", "methods", "checks", "boards"]
    publish([named(name) for name in names], tmp_path, "quantize")
    publish([named(name) for name in names], tmp_path, "quantize")
    assert len(load_records(tmp_path)) == 4
    assert sorted(path.name for path in (tmp_path / "boards").iterdir()) == sorted(names)


def test_text_from_records_stays_text(tmp_path: Path) -> None:
    hostile = [
        *RECORDS,
        record("evil", reason=SCRIPT, status="crash", value=None, warnings=[SCRIPT]),
        record("evil", "4x", options={"name": SCRIPT, "formula": "=1+1"}),
        record("evil", "4x", options={"name": "</script><img src=x onerror=alert(1)>", "formula": ""}),
    ]
    publish(hostile, tmp_path, "quantize")
    for name, data in files(tmp_path).items():
        if name.endswith((".html", ".md")):
            assert SCRIPT.encode() not in data, name
            assert b"<img src=x" not in data, name


@pytest.mark.parametrize("text", ["~~gone~~", "$x$ and $y$", "&#60;b&#62; &amp;", "**a** _b_ `c` [d](e) <f>"])
def test_text_in_markdown_stays_text(text: str) -> None:
    """Also what GitHub adds to Markdown: text that is struck out, and formulas."""
    rendered = MarkdownIt("commonmark", {"html": True}).enable("strikethrough").render(escape(text))
    assert html.unescape(rendered.removeprefix("<p>").removesuffix("</p>\n")) == text
    assert not re.search(r"(?<!\\)[~$]", escape(text))


FORMULAS = [
    *(f"{sign}1+1" for sign in "=+-@＝＋－＠"),
    *(f"{space}=1+1" for space in (" ", "  ", "\t", "\r", "\n", "\r\n", "\v", "\f", "\u00a0", "\u2003", " \t")),
    *(f" {sign}1+1" for sign in "+-@＝＋－＠"),
    *("\tx", "\rx", "\nx", "\ufeff=1", "\u200b=1", "\u200e@x"),
    *("=cmd|' /C calc'!A0", '=HYPERLINK("http://x";"y")', "@SUM(1,1)", "=", "-", "\t"),
]
PLAIN = [
    "",
    "x",
    "x=1",
    "a-b",
    "'=1",
    " x",
    "1+1",
    "–",
    "±1",
    "a\t=1",
    "a\n=1",
    "a\r=1",
    "a\r\n=1",
    '"=1"',
    "n/a",
    "1.5",
]


def test_no_cell_of_a_csv_file_is_a_formula() -> None:
    rows: list[dict[str, object]] = [{"reason": text, "peak_ratio": -1.5} for text in (*FORMULAS, *PLAIN)]
    with io.StringIO(_csv(rows), newline="") as file:
        read = list(csv.DictReader(file))
    assert len(FORMULAS) >= 30
    expected = [*(f"'{text}" for text in FORMULAS), *PLAIN]
    assert [row["reason"] for row in read] == ["\n".join(re.split("\r\n|\r", text)) for text in expected]
    assert {row["peak_ratio"] for row in read} == {"-1.5"}, "a number stays one"


def test_no_page_asks_the_network_for_anything(tmp_path: Path) -> None:
    publish(RECORDS, tmp_path, "quantize")
    for path in tmp_path.rglob("*.html"):
        text = path.read_text()
        assert "http://" not in text, path
        assert "https://" not in text, path


def test_the_command_repeats_the_cell() -> None:
    own = record("wcc", "traffic:4x", options={"levels": 3})
    expected = "actbench run --workload toy --methods wcc --ceilings traffic:4x --bits w8a2-8"
    assert command_of(own.cell) == f"{expected} --option wcc.levels=3 --device cpu"
    hostile = record("wcc", options={"levels": "$(touch x); y"})
    assert "'wcc.levels=$(touch x); y'" in command_of(hostile.cell)


def test_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no records in"):
        actbench.load_results(tmp_path)


def test_the_command_line_loads_no_torch(tmp_path: Path, make_record: Callable[..., Record]) -> None:
    for own in RECORDS:
        Store(tmp_path / "results").add(own)
    code = "import sys; from actbench.cli import app\ntry: app(sys.argv[1:], standalone_mode=False)\n"
    code += "finally: print('torch' in sys.modules, file=sys.stderr)"
    arguments = ["publish", "--results", str(tmp_path / "results"), "--out", str(tmp_path / "board")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "False"
    assert "7 records of 1 workloads" in done.stdout
    done = subprocess.run(
        [sys.executable, "-m", "actbench", "publish", "--results", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_ten_thousand_records_in_half_a_minute(tmp_path: Path) -> None:
    import time

    many = [record(f"method-{i % 100}", f"{2 + i // 100}x", 50 + i / 300, 512 // (2 + i // 100)) for i in range(10_000)]
    start = time.monotonic()
    publish(many, tmp_path, "method-0")
    assert time.monotonic() - start < 30


def test_names_lead_to_no_other_folder(tmp_path: Path) -> None:
    def named(workload: str, method: str) -> Record:
        spec = CellSpec(WorkloadSpec(workload, {}), MethodSpec(method, "1", {}), record("m").cell.budget)
        return record("m").model_copy(update={"key": spec.key, "spec": spec.canonical()})

    own = tmp_path / "out"
    publish([named("../../outside", "../up"), named("toy", SCRIPT)], own, "quantize")
    assert list(tmp_path.iterdir()) == [own]
    assert len(load_records(own)) == 2
    for page in own.rglob("*.html"):
        assert SCRIPT not in page.read_text()
    assert len(list((own / "methods").iterdir())) == 2


def test_a_failure_on_the_way_leaves_the_old_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(RECORDS, tmp_path, "quantize")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def fails(self: Site, *_: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(Site, "record", fails)
    with pytest.raises(OSError, match="disk full"):
        publish(RECORDS[:2], tmp_path, "quantize")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_page_for_every_method(tmp_path: Path) -> None:
    info = MethodInfo("wavelet", "Wavelets <b>", "a.b:C", "1", options=(Option("levels", 3, "how deep"),))
    publish(RECORDS, tmp_path, "quantize", {"wavelet": info})
    page = (tmp_path / "methods" / "wavelet.html").read_text()
    assert "Wavelets &lt;b&gt;" in page
    assert "how deep" in page
    assert page.count(">record</a>") == 3
    assert "Not installed" in (tmp_path / "methods" / "dropping.html").read_text()


def test_absurd_numbers_are_shown(tmp_path: Path) -> None:
    publish([record("none", "1x", 90.0, 1024), record("m", value=-1e300, bits=0, unit="dB")], tmp_path, "quantize")
    assert "-1000000000000" in (tmp_path / "boards" / "toy" / "README.md").read_text()
