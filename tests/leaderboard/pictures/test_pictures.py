"""Pictures say what boards say, in colours that are told apart, with text that stays text."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actbench.errors import UserError
from actbench.leaderboard.axes import axes
from actbench.leaderboard.board import Board, boards
from actbench.leaderboard.pictures.differences import differences_at, differences_of_board
from actbench.leaderboard.pictures.drawing import (
    ROLES,
    Area,
    Drawing,
    Group,
    Label,
    Line,
    Part,
    beside_each_other,
    fitting,
    width_of,
)
from actbench.leaderboard.pictures.files import pictures_of_boards, pictures_of_record, write_pictures
from actbench.leaderboard.pictures.marks import COLOURS, Marks
from actbench.leaderboard.pictures.scales import Scale, covering
from actbench.leaderboard.pictures.svg import svg_file
from actbench.leaderboard.pictures.trade import apart, trade
from actbench.text import visible
from tests.leaderboard.made_up import RECORDS, record

HOSTILE = '"><script>alert(1)</script>'


def board() -> Board:
    (one,) = boards(RECORDS, "quantize")
    return one


MARKS = Marks(one.cell.method.name for one in RECORDS)


def labels(parts: Sequence[Part]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Group):
            yield from labels(part.parts)
        elif isinstance(part, Label):
            yield part.text


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [of / 12.92 if of <= 0.04045 else ((of + 0.055) / 1.055) ** 2.4 for of in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    low, high = sorted(map(luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_are_seen_on_light_and_on_dark_paper(scheme: int) -> None:
    paper = ROLES["paper"][scheme]
    assert all(contrast(colour, paper) >= 3 for colour in (*COLOURS, ROLES["accent"][scheme]))
    assert all(contrast(ROLES[role][scheme], paper) >= 4.5 for role in ("ink", "soft")), "text"


def test_no_two_methods_have_one_mark() -> None:
    names = [f"method-{number:02}" for number in range(64)]
    marks = Marks(names)
    assert len({marks.of(name) for name in names}) == 64
    assert len({marks.of(name).shape for name in names[::8]}) == 8, "one colour, but other shapes"


def test_differences_are_those_of_the_board_the_best_on_top() -> None:
    drawn = differences_at(board(), "8x", MARKS)
    assert drawn is not None
    groups = [part for part in drawn.parts if isinstance(part, Group)]
    assert [group.method for group in groups] == ["quantize", "wavelet", "dropping"]
    assert [list(labels(group.parts))[-1] for group in groups] == ["−5.00 ± 0.50", "−5.50 ± 0.50", "−20.00 ± 0.50"]
    places = [part.points[0][0] for group in groups for part in group.parts if isinstance(part, Line)]
    assert places == sorted(places, reverse=True)
    assert differences_at(board(), "16x", MARKS) is None, "nothing holds it"


def test_what_collapses_stands_at_the_end_of_the_scale() -> None:
    (one,) = boards([record("good", value=88.0), record("fallen", value=12.0)], "quantize")
    drawn = differences_at(one, "8x", Marks(["good", "fallen"]))
    assert drawn is not None
    good, fallen = (part for part in drawn.parts if isinstance(part, Group))
    assert "◂" in labels(fallen.parts)
    assert "◂" not in labels(good.parts)


def test_rows_of_one_method_are_told_apart_by_their_options() -> None:
    codes = ["plain", "mx", "block-float", "block-floating-point-with-shared-exponents", "of another kind altogether"]
    (one,) = boards([record("rotating", options={"codes": each}) for each in codes], "quantize")
    drawn = differences_at(one, "8x", Marks(["rotating"]))
    assert drawn is not None
    names = [next(labels(part.parts)) for part in drawn.parts if isinstance(part, Group)]
    assert len(set(names)) == len(codes)
    assert {f"rotating codes={each}" for each in codes[:3]} <= set(names), "whole where there is room"
    for label in (label for part in drawn.parts if isinstance(part, Group) for label in part.parts[:1]):
        assert isinstance(label, Label)
        assert width_of(label.text) <= label.at[0], "nothing is cut off at the left"


def test_a_text_that_does_not_fit_loses_its_middle() -> None:
    assert fitting("short", 100) == "short"
    assert fitting("abcdefghij", width_of("x") * 5) == "ab…ij"
    assert fitting("abcdefghij", 1) == "…"


def test_a_panel_for_each_ceiling() -> None:
    drawn = differences_of_board(board(), MARKS)
    assert [text for text in labels(drawn.parts) if text in ("4x", "8x", "16x")] == ["4x", "8x"]


def test_quality_against_a_footprint_has_the_front_behind_the_marks() -> None:
    drawn = trade(board(), axes("inference")[0], MARKS)
    assert drawn is not None
    (front,) = (part for part in drawn.parts if isinstance(part, Line) and part.colour == "front")
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(front.points)), "steps"
    assert {part.method for part in drawn.parts if isinstance(part, Group)} == {"quantize", "wavelet", "dropping"}
    assert trade(board(), axes("inference")[3], MARKS) is None, "nothing was timed"


def test_svg_is_well_formed_and_text_from_records_stays_text() -> None:
    (one,) = boards([record("evil", options={"name": HOSTILE}), record("evil", options={"name": "x"})], "quantize")
    for drawing in pictures_of_boards([one], Marks(["evil"])).values():
        text = svg_file(replace(drawing, title=HOSTILE))
        root = ElementTree.fromstring(text)
        assert root.attrib["aria-label"] == HOSTILE
        assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
        assert "://" not in text.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("text", ["\0", "\x1b[2J", "\x0b", "\ufffe", "\ud800", "a\u202eb", "]]>", "&nbsp;"], ids=ascii)
def test_what_xml_has_no_place_for_is_written_out(text: str) -> None:
    """A picture with such a name in it would not be shown at all."""
    named = Label((0.0, 0.0), text)
    drawing = Drawing(10.0, 10.0, (Group(text, text, (named,)),), text)
    root = ElementTree.fromstring(svg_file(drawing).encode())
    assert root.attrib["aria-label"] == visible(text)
    assert [of.text for of in root.iter("{http://www.w3.org/2000/svg}text")] == [visible(text)]


def test_a_record_s_maps_are_drawn_in_kib() -> None:
    (drawing,) = pictures_of_record(record("wavelet", bits=8 * 1024 // 64)).values()
    assert "0.0 of 0.1" in labels(drawing.parts)


def test_pictures_for_papers(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawings = {"one": Drawing(100, 50, (Line(((0, 0), (100, 50)), "ink"), Label((5, 20), "a_b $c$", "soft")), "")}
    for folder in ("first", "second"):
        write_pictures(drawings, tmp_path / folder, ["pdf", "png", "svg"], "column")
    found = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    assert {name: (tmp_path / "second" / name).read_bytes() for name in found} == found
    assert found["one.pdf"].startswith(b"%PDF")
    assert int.from_bytes(found["one.png"][16:20], "big") == round(3.35 * 300)


def test_without_matplotlib_there_is_svg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    drawings = {"one": Drawing(100, 50, (), "")}
    write_pictures(drawings, tmp_path, ["svg"])
    with pytest.raises(UserError, match="pip install"):
        write_pictures(drawings, tmp_path, ["pdf"])


@given(st.lists(st.floats(0, 300), min_size=1, max_size=20))
def test_labels_do_not_touch(places: list[float]) -> None:
    found = apart(sorted(places), 13.0, 0.0, 300.0)
    assert all(after - before >= 13 - 1e-9 for before, after in pairwise(found))
    assert found[0] >= -1e-9


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.booleans())
def test_ticks_are_on_the_scale(low: float, span: float, is_log: bool) -> None:
    low = abs(low) + 1e-3 if is_log else low
    scale = covering([low, low + span], 0, 100, is_log=is_log)
    assert all(scale.low - 1e-6 * span <= tick <= scale.high + 1e-6 * span for tick in scale.ticks())
    assert 0 < scale.place(low) < scale.place(low + span) < 100 or span < 1e-9 * abs(low)


def test_a_value_beyond_a_scale_is_at_its_end() -> None:
    assert Scale(0, 10, 0, 100).place(25) == 100


def test_drawings_beside_each_other() -> None:
    one = Drawing(10, 20, (Area(((0, 0), (1, 0), (1, 1)), "ink"),), "")
    both = beside_each_other([one, one, one], 2, "three", gap=5)
    assert (both.width, both.height) == (25, 45)
    assert [part.points[0] for part in both.parts if isinstance(part, Area)] == [(0, 0), (15, 0), (0, 25)]
