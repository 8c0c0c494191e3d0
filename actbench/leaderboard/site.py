"""Leaderboards as pages that open from disk, with no network. Everything from records is escaped by the templates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from actbench.info import MethodInfo
from actbench.leaderboard.axes import Axis, axes
from actbench.leaderboard.board import Board, Row
from actbench.leaderboard.columns import columns, values
from actbench.leaderboard.curves import REFERENCE_BITS, REFERENCE_LOSS
from actbench.leaderboard.markdown import LEGEND
from actbench.leaderboard.places import place
from actbench.leaderboard.seeds import over_seeds
from actbench.records.conformance import Conformance
from actbench.records.schema import Measurements, Record
from actbench.records.verification import Verification


class Site:
    """Renders pages; `assets` are what they share."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("actbench.leaderboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    def index(self, counts: Mapping[str, int], methods: Iterable[str]) -> str:
        """The front page: workloads with how many records each has, and methods."""
        cards = [(name, place(name), count) for name, count in counts.items()]
        names = [(name, place(name)) for name in methods]
        return self._render("index.html", cards=cards, methods=names, root=".")

    def workload(self, name: str, found: Sequence[Board]) -> str:
        """All boards of a workload."""
        reference = {"bits": REFERENCE_BITS, "loss": REFERENCE_LOSS}
        boards = [_board(board) for board in found]
        return self._render("workload.html", name=name, boards=boards, legend=LEGEND, reference=reference, root="..")

    def method(
        self, name: str, info: MethodInfo | None, found: Sequence[Board], conformance: Conformance | None = None
    ) -> str:
        """One method: what it says of itself, where it is installed, what its checks found, and its rows."""
        boards = []
        for board in found:
            own = [row for row in board.rows if row.record.spec["method"]["name"] == name]
            folder = place(board.key.workload)
            page = {"workload": board.key.workload, "folder": folder, "page": f"{folder}/index.html"}
            boards += [_table(board, own) | page] if own else []
        return self._render("method.html", name=name, info=info, boards=boards, conformance=conformance, root="..")

    def record(self, record: Record, verification: Verification | None = None) -> str:
        """One record, whole."""
        return self._render(
            "record.html",
            record=record,
            verification=verification,
            command=repeat(record),
            spec=json.dumps(record.spec, indent=1),
            method=place(record.spec["method"]["name"]),
            root="../..",
        )

    def assets(self) -> dict[str, str]:
        """File names and texts."""
        from plotly.offline import get_plotlyjs

        folder = resources.files("actbench.leaderboard") / "templates"
        own = {name: (folder / name).read_text("utf-8") for name in ("style.css", "board.js")}
        return own | {"plotly.min.js": get_plotlyjs()}

    def _render(self, template: str, **values: Any) -> str:
        return self._templates.get_template(template).render(**values)


def repeat(record: Record) -> str:
    """The command that measures a record's cell again."""
    spec = record.spec
    parts = ["actbench run", f"--workload {spec['workload']['name']}", f"--methods {spec['method']['name']}"]
    if spec["ceiling"] != "1x":
        parts += [f"--ceilings {spec['ceiling']}", f"--bits {spec['bits']}"]
    parts += [f"--track {spec['track']}"] if spec["track"] != "inference" else []
    parts += [f"--recover {spec['recover']}"] if spec["recover"] else []
    parts += [f"--recipe {spec['recipe']}"] if "recipe" in spec else []
    parts += [f"--last {spec['last']}"] if "last" in spec else []
    parts += [f"--normalisation {spec['normalisation']}"] if "normalisation" in spec else []
    parts += [f"--seeds {spec['seed']}"] if spec["seed"] else []
    parts += [f"--limit {spec['workload']['limit']}"] if spec["workload"]["limit"] else []
    parts += [f"--option {spec['method']['name']}.{k}={v}" for k, v in spec["method"]["options"].items()]
    return " ".join([*parts, f"--device {spec['device']}"])


def _table(board: Board, rows: Sequence[Row]) -> dict[str, Any]:
    """Some rows of a board, with its columns."""
    shown = columns(board.track)
    return {
        "title": board.key.title,
        "columns": [{"title": column.title, "numeric": column.number is not None} for column in shown],
        "rows": [_row(row, shown) for row in rows],
    }


def _board(board: Board) -> dict[str, Any]:
    table = _table(board, board.rows)
    shown = axes(board.track)
    curves = [
        {"name": name, "area": f"{area:.1f}", "rate": _rate(board.bd_rates.get(name, "the anchor"))}
        for name, area in sorted(board.hypervolumes.items(), key=lambda item: -item[1])
    ]
    return table | {
        "anchor": board.anchor,
        "axes": shown,
        "curves": curves,
        "seeds": over_seeds(board.rows),
        "points": [point for row in board.rows if (point := _point(row, shown))],
        "failures": [row for row in table["rows"] if row["status"] != "ok"],
    }


def _rate(rate: float | str) -> str:
    return rate if isinstance(rate, str) else f"{rate:+.1f} %"


def _row(row: Row, shown: Sequence[Any]) -> dict[str, Any]:
    own = values(row)
    return {
        "cells": [
            {"text": column.text(own), "sort": column.number(own) if column.number else column.text(own)}
            for column in shown
        ],
        "name": row.name,
        "ceiling": row.ceiling,
        "status": row.record.status,
        "reason": row.record.reason,
        "page": f"records/{row.record.key}-{row.record.attempt}.html",
    }


def _point(row: Row, shown: Sequence[Axis]) -> dict[str, Any] | None:
    """What the plot knows of a row."""
    quality, measured = row.record.measurements.quality, row.record.measurements
    if row.record.status != "ok" or quality is None:
        return None
    own = values(row)
    return {
        "name": row.name,
        "ceiling": row.ceiling,
        "quality": quality.value,
        "low": quality.interval[0],
        "high": quality.interval[1],
        "metric": own["metric"],
        "at": {axis.column: own[axis.column] for axis in shown},
        "line": row.is_reference and row.point is not None,
        "bars": _bars(measured),
    }


def _bars(measured: Measurements) -> dict[str, Any] | None:
    """What a selected row shows: bits of each map, or bytes that each module keeps for backward."""
    if measured.footprint is not None:
        maps = measured.footprint.maps
        names, own = [part.name for part in maps], [part.bits.maximum for part in maps]
        return {"unit": "bits an image", "names": names, "own": own, "fp32": [32 * part.elements for part in maps]}
    if measured.training is not None:
        saved = measured.training.saved_by_module
        names = [name or "the network itself" for name in saved]
        return {"unit": "bytes kept for backward", "names": names, "own": list(saved.values()), "fp32": []}
    return None
