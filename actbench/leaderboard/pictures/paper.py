"""Drawings for papers, as PDF and PNG: the same parts, drawn by matplotlib."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench.errors import UserError
from actbench.leaderboard.pictures.drawing import ROLES, Area, Drawing, Label, Line, Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_POINTS = 72.0
_DOTS = 300


def write_for_paper(drawing: Drawing, path: Path, width: float) -> None:
    """Writes a drawing as PDF or PNG, by the file's ending, `width` inches wide. Raises UserError where matplotlib is
    missing."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(f"{path.suffix[1:]} needs matplotlib: pip install 'actbench[figures]', or write svg") from error
    scale = width * _POINTS / drawing.width
    settings: Any = {
        "pdf.fonttype": 42,
        "font.family": ["DejaVu Sans"],
    }  # letters as such: journals refuse bitmaps of them
    with matplotlib.rc_context(settings):
        figure: Any = Figure(figsize=(width, drawing.height * scale / _POINTS))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_xlim(0, drawing.width)
        axes.set_ylim(drawing.height, 0)
        axes.axis("off")
        _draw(axes, drawing.parts, scale, count())
        figure.savefig(path, dpi=_DOTS, metadata=_undated(path))


def _undated(path: Path) -> dict[str, None]:
    """The same records give the same bytes."""
    return {"CreationDate": None} if path.suffix == ".pdf" else {}


def _draw(axes: Any, parts: Sequence[Part], scale: float, order: Iterator[int]) -> None:
    """Each part above those before it."""
    for part in parts:
        if isinstance(part, Line):
            _draw_line(axes, part, scale, next(order))
        elif isinstance(part, Area):
            axes.fill(*zip(*part.points, strict=True), color=_light(part.colour), linewidth=0, zorder=next(order))
        elif isinstance(part, Label):
            _draw_label(axes, part, scale, next(order))
        else:
            _draw(axes, part.parts, scale, order)


def _draw_line(axes: Any, line: Line, scale: float, order: int) -> None:
    style = (0, (2, 3)) if line.dashed else "-"
    xs, ys = zip(*line.points, strict=True)
    axes.plot(xs, ys, color=_light(line.colour), linewidth=line.width * scale, linestyle=style, zorder=order)


def _draw_label(axes: Any, label: Label, scale: float, order: int) -> None:
    sides = {"start": "left", "middle": "center", "end": "right"}
    axes.text(
        *label.at,
        label.text.replace("$", r"\$"),
        color=_light(label.colour),
        fontsize=label.size * scale * 0.92,  # DejaVu is wider than what browsers have
        fontweight="bold" if label.bold else "normal",
        ha=sides[label.anchor],
        va="baseline",
        rotation=90 if label.turned else 0,
        rotation_mode="anchor",
        zorder=order,
    )


def _light(colour: str) -> str:
    return ROLES[colour][0] if colour in ROLES else colour
