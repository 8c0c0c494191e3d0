"""A cache of registrations: a file for each plugin, with the state of the code that it came from."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from actbench import __version__
from actbench.hookspecs import API_VERSION
from actbench.listing.form import LONGEST_ANSWER, from_json, to_json
from actbench.plugin_sources import PluginSource
from actbench.registry import Registration

FOLDER = "ACTBENCH_CACHE"
"""Environment variable: where registrations are kept; nowhere where it is empty."""


class Cache:
    """Registrations by where they come from. What cannot be read or written is as if it were not there."""

    def __init__(self) -> None:
        self._folder = _folder()
        # Of what is there before a plugin is imported: code that is changed meanwhile is imported again next time.
        self._stamps: dict[str, str | None] = {}
        self._state_of_package = lru_cache(_state_of_package)  # the reference methods are of one package

    def read(self, source: PluginSource) -> Registration | None:
        """The registration of a plugin whose code has not changed since."""
        stamp = self._stamps[source.key] = self._stamp(source)
        if self._folder is None or stamp is None:
            return None
        try:
            file = self._folder / _file_name(source)
            if file.stat().st_size > LONGEST_ANSWER:
                return None
            kept = json.loads(file.read_bytes())
            return from_json(kept["registration"]) if kept["stamp"] == stamp else None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def write(self, source: PluginSource, registration: Registration) -> None:
        """Keeps a registration."""
        stamp = self._stamps.get(source.key)
        if self._folder is not None and stamp is not None:
            with suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                _replace(self._folder / _file_name(source), {"stamp": stamp, "registration": to_json(registration)})

    def _stamp(self, source: PluginSource) -> str | None:
        """The state of a plugin's code; None where there is none to be seen."""
        try:
            if source.file is not None:
                code = _digest(source.file.read_bytes().hex(), _state(source.file))
            else:
                code = self._state_of_package(source.module.partition(":")[0].partition(".")[0])
        except (OSError, ValueError, ImportError, AttributeError):
            return None
        return _digest(__version__, str(API_VERSION), source.version, code)


def _folder() -> Path | None:
    if (given := os.environ.get(FOLDER)) is not None:
        return Path(given) if given else None
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "actbench" / "plugins"
    except RuntimeError:  # nobody has this home
        return None


def _file_name(source: PluginSource) -> str:
    """One name for a plugin of an installation of Python, whatever its version."""
    where = "" if source.file is None else str(source.file.absolute())
    return _digest(sys.prefix, sys.version, source.origin, source.name, source.module, where) + ".json"


def _state_of_package(name: str) -> str:
    """State of every Python file of a package, which is found without being imported."""
    spec = find_spec(name)
    if spec is None:
        raise ImportError(name)
    if spec.submodule_search_locations is None:
        return _state(Path(str(spec.origin)))
    folders = sorted(spec.submodule_search_locations)
    return _digest(*(_state(file) for folder in folders for file in sorted(Path(folder).rglob("*.py"))))


def _state(file: Path) -> str:
    found = file.stat()
    return f"{file} {found.st_mtime_ns} {found.st_size}"


def _digest(*parts: str) -> str:
    return blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def _replace(file: Path, content: dict[str, Any]) -> None:
    """Writes a file whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w") as stream:
            json.dump(content, stream)
        os.replace(temporary, file)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
