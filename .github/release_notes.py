"""Prints a version's section of the changelog: `python .github/release_notes.py 0.2.0`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"


def notes(version: str, changelog: str) -> str:
    """What stands below a version's heading, up to the next one. Raises SystemExit where there is none."""
    heading = rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)"
    section = re.search(heading, changelog, re.MULTILINE | re.DOTALL)
    if section is None or not section[1].strip():
        raise SystemExit(f"CHANGELOG.md says nothing under `## {version} - DATE`: write what has changed")
    return section[1].strip()


if __name__ == "__main__":
    print(notes(sys.argv[1], CHANGELOG.read_text("utf-8")))
