"""Leaderboards as pages that open from disk, with no network. Everything from records is escaped by the templates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from actbench.leaderboard.board import Board, Row
from actbench.leaderboard.columns import columns, values
from actbench.leaderboard.curves import REFERENCE_BITS, REFERENCE_LOSS
from actbench.leaderboard.markdown import LEGEND
from actbench.records.schema import Record


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

    def index(self, counts: Mapping[str, int]) -> str:
        """The front page: workloads, and how many records each has."""
        return self._render("index.html", counts=counts, root=".")

    def workload(self, name: str, found: Sequence[Board]) -> str:
        """All boards of a workload."""
        reference = {"bits": REFERENCE_BITS, "loss": REFERENCE_LOSS}
        boards = [_board(board) for board in found]
        return self._render("workload.html", name=name, boards=boards, legend=LEGEND, reference=reference, root="..")

    def record(self, record: Record) -> str:
        """One record, whole."""
        spec = json.dumps(record.spec, indent=1)
        return self._render("record.html", record=record, command=repeat(record), spec=spec, root="../..")

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


def _board(board: Board) -> dict[str, Any]:
    track = dict(board.key.settings)["track"]
    shown = columns(track)
    rows = [_row(row, shown) for row in board.rows]
    curves = [
        {"name": name, "area": f"{area:.1f}", "rate": _rate(board.bd_rates.get(name, "the anchor"))}
        for name, area in sorted(board.hypervolumes.items(), key=lambda item: -item[1])
    ]
    return {
        "title": board.key.title,
        "track": track,
        "anchor": board.anchor,
        "columns": [{"title": column.title, "numeric": column.number is not None} for column in shown],
        "rows": rows,
        "curves": curves,
        "points": [point for row in board.rows if (point := _point(row))],
        "failures": [row for row in rows if row["status"] != "ok"],
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


def _point(row: Row) -> dict[str, Any] | None:
    """What the plot knows of a row."""
    own = values(row)
    if row.record.status != "ok" or own["quality"] is None:
        return None
    footprint = row.record.measurements.footprint
    stored = footprint.maps if footprint else []
    maps = [{"name": part.name, "bits": part.bits.maximum, "fp32": 32 * part.elements} for part in stored]
    return {
        "name": row.name,
        "ceiling": row.ceiling,
        "quality": own["quality"],
        "low": own["quality_low"],
        "high": own["quality_high"],
        "metric": own["metric"],
        "peak": own["peak_ratio"],
        "traffic": own["payload_ratio"] if own["traffic_ratio"] is None else own["traffic_ratio"],
        "maps": maps,
    }
