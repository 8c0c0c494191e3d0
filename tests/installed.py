"""A generated package, found as pip's installation would have it found."""

import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")


def install(package: Path) -> Path:
    """Writes what `pip install -e` writes, as far as entry points are concerned; gives the folder for the path."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    name, version, source = project["name"], project["version"], package / "src"
    entries = [f"{entry} = {target}" for entry, target in project["entry-points"]["actbench"].items()]
    information = source / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (information / "entry_points.txt").write_text("\n".join(["[actbench]", *entries, ""]))
    return source
