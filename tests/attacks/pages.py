"""What published files may hold, whatever the records say: pages, Markdown and tables of our own making alone."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from markdown_it import MarkdownIt

from tests.attacks.texts import MARKER

_VOID = {"meta", "link", "input", "br", "hr", "img", "wbr", "col"}
_OURS = set(
    re.findall(
        r"\w+",
        """html head title meta link script body header main nav footer section article h1 h2 h3 p ul ol li dl dt dd
        table thead tbody tr th td caption a span div button input select option label code pre b strong details
        summary figure figcaption small form br h4 img noscript style em fieldset legend
        svg g path text tspan line rect circle""",
    )
)
_MARKDOWN = set(re.findall(r"\w+", "h1 h2 h3 p ul li table thead tbody tr th td a code strong img"))
_MARKDOWN_ATTRIBUTES = {"href", "style", "src", "alt"}
_DRAWN = set(re.findall(r"\w+", "svg g path line rect circle polygon polyline text tspan title desc style"))
_FORMULA = re.compile(r"[\s\u00ad\u200b-\u200f\u2060\ufeff]*[=+\-@＝＋－＠]|[\t\r\n]")


class _Page(HTMLParser):
    """The tags of a page, as a browser would see them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.odd: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.odd.append(f"</{tag}>")

    def handle_comment(self, data: str) -> None:
        self.odd.append(f"<!--{data}-->")

    def unknown_decl(self, data: str) -> None:
        self.odd.append(f"<![{data}]>")

    def handle_pi(self, data: str) -> None:
        self.odd.append(f"<?{data}>")


def check_published_files(board: Path) -> None:
    """Raises AssertionError where a file of a leaderboard holds more than what the templates make of records."""
    for path in board.rglob("*"):
        assert path.resolve().is_relative_to(board.resolve()), path
        for part in path.relative_to(board).parts:
            assert re.fullmatch(r"[\w.-]+", part), f"file name {part!r}"
        if path.suffix == ".html":
            check_page(path.read_text(), path, board)
        elif path.suffix == ".md":
            check_markdown(path, board)
        elif path.suffix == ".csv":
            check_csv(path)
        elif path.suffix == ".svg":
            check_picture(path)
        elif path.suffix == ".json" and path.is_file():
            json.loads(path.read_text())


def check_page(text: str, path: Path, board: Path) -> None:
    assert "<!--" not in text, f"{path}: a comment"
    page = _parsed(text, path)
    assert {tag for tag, _ in page.tags} <= _OURS, f"{path}: tags {sorted({t for t, _ in page.tags} - _OURS)}"
    _check_links(page, path, board)
    count = [tag for tag, _ in page.tags].count
    assert count("h1") == count("head") == count("main") == 1, f"{path}: more than one page in it"
    assert count("script") == _scripts(path.relative_to(board)), f"{path}: scripts"
    for rules in re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL):
        assert rules.startswith((".inference ", ".training ")), f"{path}: a style that is not a table's"
    for data in re.findall(r'<script type="application/json" id="rows">(.*?)</script>', text, re.DOTALL):
        json.loads(data)


def _scripts(path: Path) -> int:
    """Boards and the chooser have two, and no other page has any."""
    is_board = len(path.parts) == 3 and path.parts[0] == "boards" and path.name != "index.html"
    return 2 if is_board or path.name == "choose.html" else 0


def check_markdown(path: Path, board: Path) -> None:
    rendered = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(path.read_text())
    page = _parsed(rendered, path)
    assert {tag for tag, _ in page.tags} <= _MARKDOWN, f"{path}: {sorted({t for t, _ in page.tags} - _MARKDOWN)}"
    assert all(set(attributes) <= _MARKDOWN_ATTRIBUTES for _, attributes in page.tags), f"{path}: attributes"
    count = [tag for tag, _ in page.tags].count
    assert count("h1") == 1, f"{path}: {count('h1')} titles"
    assert count("code") <= 1, f"{path}: code"
    _check_links(page, path, board)
    rows = [line for line in path.read_text().splitlines() if line.startswith("|")]
    assert count("tr") == len(rows) - count("table"), f"{path}: rows"


def check_picture(path: Path) -> None:
    """A picture in a file draws, and does nothing else: no scripts, no handlers, no links, no other documents."""
    for element in ElementTree.parse(path).iter():
        assert element.tag.removeprefix("{http://www.w3.org/2000/svg}") in _DRAWN, f"{path}: <{element.tag}>"
        wrong = [name for name in element.attrib if name.startswith("on") or "href" in name]
        assert not wrong, f"{path}: <{element.tag}> has {wrong}"


def check_csv(path: Path) -> None:
    with path.open(newline="") as file:
        rows: list[dict[Any, Any]] = list(csv.DictReader(file))
    assert len(rows) == len(json.loads(path.with_suffix(".json").read_text())), f"{path}: rows"
    for row in rows:
        assert None not in row, f"{path}: too many columns"
        assert None not in row.values(), f"{path}: too few columns"
        formulas = [cell for cell in row.values() if _FORMULA.match(cell) and not _is_number(cell)]
        assert not formulas, f"{path}: {formulas[0]!r}"


def _parsed(text: str, path: Path) -> _Page:
    page = _Page()
    page.feed(text)
    page.close()
    assert not page.odd, f"{path}: {page.odd[0][:200]}"
    assert not page.open, f"{path}: {page.open} are not closed"
    return page


def _check_links(page: _Page, path: Path, board: Path) -> None:
    """Handlers there are none, and links lead to files of the board alone."""
    for tag, name, value in _attributes(page):
        where = f"{path}: <{tag} {name}={value!r}>"
        assert not name.startswith("on"), where
        assert name not in ("srcset", "action", "formaction", "srcdoc", "ping"), where
        if name in ("href", "src") and not value.startswith("#"):
            target = path.parent / value.partition("#")[0]
            assert MARKER not in value, where
            assert target.resolve().is_relative_to(board.resolve()), where
            assert target.exists(), where


def _attributes(page: _Page) -> Iterator[tuple[str, str, str]]:
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            yield tag, name, value or ""


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
