"""What a release is made of: notes, files, citation, image, workflows."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from actbench import __version__

ROOT = Path(__file__).parents[1]


def module(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("loaded", ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


CHANGELOG = """# Changelog

## Unreleased

- Not yet.

## 0.2.0 - 2026-01-02

### Added

- Two.

## 0.1.0 - 2025-01-02

- One.
"""


def test_notes_are_one_versions_section() -> None:
    notes = module(".github/release_notes.py").notes
    assert notes("0.2.0", CHANGELOG) == "### Added\n\n- Two."
    assert notes("0.1.0", CHANGELOG) == "- One."


@pytest.mark.parametrize("version", ["0.3.0", "0.2", "0x2.0", "Unreleased"])
def test_no_release_without_notes(version: str) -> None:
    with pytest.raises(SystemExit, match="CHANGELOG"):
        module(".github/release_notes.py").notes(version, CHANGELOG)


def test_this_version_has_notes_and_is_what_is_cited() -> None:
    assert module(".github/release_notes.py").notes(__version__, (ROOT / "CHANGELOG.md").read_text())
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_what_a_package_has_too_much_or_too_little_is_said() -> None:
    package = module("tests/package.py")
    whole = package.expected()
    assert any(name.endswith(".safetensors") for name in whole)
    assert package.differing(whole | {"actbench-1.dist-info/METADATA"}) == []
    assert package.differing(whole - {"actbench/spec.py"}) == ["the wheel has no actbench/spec.py"]
    [said] = package.differing(whole | {"tests/test_spec.py"})
    assert said == "the wheel has tests/test_spec.py, which is no part of the package"
    in_source = {name.replace("actbench_plugins/", "plugins/") for name in whole} | package.FOR_A_BUILD
    assert package.missing_for_a_build(in_source) == []
    assert package.missing_for_a_build(in_source - {"setup.py"}) == ["the source distribution has no setup.py"]


def test_the_image_has_what_a_build_needs() -> None:
    """All that is copied into it is named, and the range of torch is the package's."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == {
        "actbench",
        "plugins",
        *module("tests/package.py").FOR_A_BUILD,
    }
    [torch] = re.findall(r'"(torch>.*?)"', (ROOT / "Dockerfile").read_text())
    assert f'"{torch}"' in (ROOT / "pyproject.toml").read_text()
