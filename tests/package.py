"""Builds the package, and says whether what is built is whole and works where the checkout is not.

`python tests/package.py FOLDER` leaves the source distribution and the wheel in the folder. The wheel is built from the
source distribution, so that this has what a build needs.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
SOURCES = {"actbench": ROOT / "actbench", "actbench_plugins": ROOT / "plugins"}
FOR_A_BUILD = {"LICENSE", "README.md", "pyproject.toml", "setup.py"}
TRIED = [
    ["--version"],
    ["methods"],
    ["plugins"],
    ["run", "--methods", "none", "--limit", "32", "--ceilings", "8x"],
    ["publish"],
    ["new-method", "demo"],
]
"""Commands, each of which must end well in an empty folder."""


def expected() -> set[str]:
    """What the wheel has to hold: all that is in the packages' folders."""
    return {
        (Path(package) / path.relative_to(folder)).as_posix()
        for package, folder in SOURCES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def differing(files: set[str]) -> list[str]:
    """In what the wheel's files are not those that it has to hold."""
    held = {name for name in files if ".dist-info/" not in name}
    missing = [f"the wheel has no {name}" for name in sorted(expected() - held)]
    return missing + [f"the wheel has {name}, which is no part of the package" for name in sorted(held - expected())]


def missing_for_a_build(files: set[str]) -> list[str]:
    """What a build needs and the source distribution has not. Names without the folder at the root."""
    needed = {name.replace("actbench_plugins/", "plugins/", 1) for name in expected()} | FOR_A_BUILD
    return [f"the source distribution has no {name}" for name in sorted(needed - files)]


def _files(folder: Path) -> tuple[set[str], set[str]]:
    """What is in the one source distribution of a folder, and in the one wheel."""
    [source], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    with tarfile.open(source) as archive, ZipFile(wheel) as zipped:
        return {name.partition("/")[2] for name in archive.getnames()}, set(zipped.namelist())


def _try(folder: Path) -> None:
    """Installs the wheel here, and runs its commands elsewhere."""
    [wheel] = folder.glob("*.whl")
    for arguments in (["uninstall", "--yes", "actbench"], ["install", wheel]):  # the same version is not replaced
        subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], check=True)
    actbench = Path(sys.executable).with_name("actbench")
    with tempfile.TemporaryDirectory() as elsewhere:
        for arguments in TRIED:
            subprocess.run([actbench, *arguments], cwd=elsewhere, check=True)


def main(folder: Path) -> None:
    """Builds, checks and tries."""
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder} is not empty: name a folder for what is built")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True)
    source, wheel = _files(folder)
    if wrong := missing_for_a_build(source) + differing(wheel):
        sys.exit("\n".join(wrong))
    _try(folder.absolute())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
