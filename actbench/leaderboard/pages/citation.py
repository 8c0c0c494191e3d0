"""How a record is cited."""

from __future__ import annotations

import re
from pathlib import PurePath

from actbench.records.record import Record
from actbench.records.verification import digest

_WORDS = {"\\": r"{\textbackslash}", "^": r"{\textasciicircum}", "~": r"{\textasciitilde}"}
_SPECIAL = re.compile(r"[\\{}&%$#_~^]")


def bibtex(record: Record) -> str:
    """An entry that names the cell, the protocol and the digest by which the record is known again."""
    cell, name = record.cell, PurePath(record.file_name).stem
    budget = "" if cell.is_reference else f" at {cell.budget}"
    title = f"actbench record {name}: {cell.method.name}{budget} on {cell.workload.name}"
    fields = {
        "title": f"{{{_literal(title)}}}",
        "author": "{The actbench developers}",
        "year": record.started[:4] if record.started[:4].isdigit() else "",
        "note": _literal(f"protocol {cell.protocol}, {cell.settings.title}, SHA-256 {digest(record)}"),
    }
    lines = [f"  {key} = {{{value}}}," for key, value in fields.items() if value]
    return "\n".join([f"@misc{{actbench-{name},", *lines, "}"])


def _literal(text: str) -> str:
    """Text of which TeX takes nothing for a command."""
    return _SPECIAL.sub(lambda found: _WORDS.get(found[0], "\\" + found[0]), text)
