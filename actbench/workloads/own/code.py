"""Code of the user's own, `FILE.py:NAME`: its digest without running it, and what it gives when it runs."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actbench.errors import UserError
from actbench.fields import one_line
from actbench.plugin_sources import load_file

_REFERENCE = re.compile(r"(.+\.py):([A-Za-z_]\w*)", re.DOTALL)


@dataclass(frozen=True)
class Code:
    """A name in a Python file. `str()` leaves the file's folder out: that is nobody's business."""

    file: Path
    name: str

    @classmethod
    def parse(cls, text: str) -> Code | None:
        """Reads `FILE.py:NAME`; None for anything else."""
        match = _REFERENCE.fullmatch(text)
        return cls(Path(match[1]), match[2]) if match else None

    def __str__(self) -> str:
        return f"{self.file.name}:{self.name}"

    def digest(self) -> str:
        """Computes the SHA-256 of the file and of what it imports from its folder, or from the one the user stands in,
        and that imports in turn. Nothing runs. Raises UserError where a file cannot be read, or is no Python."""
        digest = hashlib.sha256()
        for name, content in sorted(self._sources().items()):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()

    def load(self) -> Any:
        """Runs the file as Python would, and gives what has the name in it. Raises UserError where there is none, or
        where the file raises."""
        for folder in (str(Path.cwd()), str(self.file.absolute().parent)):
            if folder not in sys.path:
                sys.path.insert(0, folder)
        module = self._module()
        if not hasattr(module, self.name):
            raise UserError(f"{self.file} has no {self.name!r}: name a function or a class of it")
        return getattr(module, self.name)

    def _module(self) -> Any:
        """The file as a module, which runs once, whatever of it is asked for."""
        known = sys.modules.get(self.file.stem)
        if getattr(known, "__file__", None) == str(self.file):
            return known
        if not self.file.is_file():
            raise UserError(f"there is no file {self.file}")
        try:
            return load_file(self.file, self.file.stem if known is None else f"own_{self.file.stem}")
        except (Exception, SystemExit) as error:  # it is the user's code
            raise UserError(f"{self.file} cannot be loaded: {said_by(error)}") from error

    def _sources(self) -> dict[str, bytes]:
        """The contents of all files by their names, as seen from the folder in which they were found."""
        sources: dict[str, bytes] = {}
        pending = [(self.file.name, self.file)]
        while pending:
            name, file = pending.pop()
            if name not in sources:
                sources[name] = _read(file)
                pending += _imported(file, sources[name], self.file.parent)
        return sources


def said_by(error: BaseException) -> str:
    """Type and message of an error in one line, with the place where it was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{Path(error.filename).name}:{error.lineno}"
    return f"{type(error).__name__}: {one_line(str(error))[:300]} ({place})"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error


def _imported(file: Path, content: bytes, folder: Path) -> Iterator[tuple[str, Path]]:
    """The files beside the user's that a file imports, as far as its text says."""
    try:
        tree = ast.parse(content, str(file))
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{file} is no Python: {said_by(error)}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module or ''}.{alias.name}".strip(".") for alias in node.names)]
        else:
            continue
        above = file.parents[node.level - 1] if isinstance(node, ast.ImportFrom) and node.level else None
        for root in [folder, Path.cwd()] if above is None else [above]:
            for name in filter(None, names):
                yield from _modules(root, name, folder)


def _modules(root: Path, name: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a module and of the packages that it is in, where they are below a folder."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        path = root.joinpath(*parts[:depth])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                inside = file.is_relative_to(folder)
                yield (file.relative_to(folder if inside else root).as_posix(), file)
