"""Drawings as SVG: text that is selected and searched, colours that follow the reader's light or dark paper."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from actbench.leaderboard.pictures.drawing import ROLES, Area, Drawing, Label, Line, Part, Point
from actbench.text import visible

FAMILY = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"


def svg_file(drawing: Drawing) -> str:
    """A file of its own, which brings its paper and its colours along."""
    paper = f'<rect class="fill-paper" width="{_number(drawing.width)}" height="{_number(drawing.height)}"/>'
    return _svg(drawing, f"<style>{_style()}</style>{paper}", ' xmlns="http://www.w3.org/2000/svg"') + "\n"


def svg_in_page(drawing: Drawing) -> str:
    """An element of a page whose style sheet has the colours."""
    return _svg(drawing, "")


def _svg(drawing: Drawing, before: str, namespace: str = "") -> str:
    width, height = _number(drawing.width), _number(drawing.height)
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    label = _text(drawing.title)
    head = f'<svg{namespace} class="picture" role="img" aria-label="{label}" {size}>'
    return f"{head}{before}{_parts(drawing.parts)}</svg>"


def _style() -> str:
    light, dark = (_colours(scheme) for scheme in (0, 1))
    return f"text{{font-family:{FAMILY}}}{light}@media (prefers-color-scheme:dark){{{dark}}}@media print{{{light}}}"


def _colours(scheme: int) -> str:
    return "".join(
        f".fill-{role}{{fill:{of[scheme]}}}.stroke-{role}{{stroke:{of[scheme]}}}" for role, of in ROLES.items()
    )


def _parts(parts: Iterable[Part]) -> str:
    return "".join(map(_part, parts))


def _part(part: Part) -> str:
    if isinstance(part, Line):
        return _line(part)
    if isinstance(part, Area):
        return f'<path d="M{_path(part.points)}Z" {_colour("fill", part.colour)}/>'
    if isinstance(part, Label):
        return _label(part)
    tip = f"<title>{_text(part.tip)}</title>" if part.tip else ""
    return f'<g data-method="{_text(part.method)}">{tip}{_parts(part.parts)}</g>'


def _line(line: Line) -> str:
    dashes = ' stroke-dasharray="2 3"' if line.dashed else ""
    colour = _colour("stroke", line.colour)
    return f'<path d="M{_path(line.points)}" fill="none" {colour} stroke-width="{_number(line.width)}"{dashes}/>'


def _label(label: Label) -> str:
    x, y = map(_number, label.at)
    more = "" if label.anchor == "start" else f' text-anchor="{label.anchor}"'
    more += ' font-weight="600"' if label.bold else ""
    more += f' transform="rotate(-90 {x} {y})"' if label.turned else ""
    colour = _colour("fill", label.colour)
    return f'<text x="{x}" y="{y}" font-size="{_number(label.size)}" {colour}{more}>{_text(label.text)}</text>'


def _text(text: str) -> str:
    """Text of records, which may hold characters that XML has no place for."""
    return escape(visible(text))


def _colour(kind: str, colour: str) -> str:
    return f'class="{kind}-{colour}"' if colour in ROLES else f'{kind}="{colour}"'


def _path(points: Iterable[Point]) -> str:
    return "L".join(f"{_number(x)} {_number(y)}" for x, y in points)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
