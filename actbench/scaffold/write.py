"""Writes a package from templates."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jinja2 import Environment, StrictUndefined

from actbench import __version__
from actbench.errors import UserError
from actbench.hookspecs import API_VERSION

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Names:
    """Forms of a package's name: `mean-residual`, `mean_residual`, `MeanResidual`."""

    plain: str

    @property
    def module(self) -> str:
        """Name of the module, for imports."""
        return self.plain.replace("-", "_")

    @property
    def kind(self) -> str:
        """Name of the class."""
        return "".join(word.capitalize() for word in self.plain.split("-"))


def write_package(template: Literal["method", "workload"], name: str, parent: Path) -> list[Path]:
    """Writes a new folder `actbench-NAME` in `parent`, and gives the files in it. Raises UserError where the name is
    none, or the folder exists already."""
    names = Names(name)
    if not _NAME.fullmatch(name) or len(name) > 50 or keyword.iskeyword(names.module):
        raise UserError(f"name {name!r}: use lower-case words with hyphens between them, as in mean-residual")
    folder = parent / f"actbench-{name}"
    if folder.exists():
        raise UserError(f"{folder} is there already: give another name, or another place with --dir")
    written = []
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    source = Path(__file__).parent / "templates" / template
    for file in sorted(path for path in source.rglob("*.jinja")):
        place = file.relative_to(source).as_posix().replace("MODULE", names.module).replace("dot-", ".")
        path = folder / place.removesuffix(".jinja")
        filled = environment.from_string(file.read_text("utf-8")).render(
            names=names, version=__version__, api=API_VERSION
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(filled, encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error
        written.append(path)
    return written
