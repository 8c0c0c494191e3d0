"""Registrations as JSON. What is read comes from a plugin's process or from a file: every field is checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from actbench.fields import check_text
from actbench.info import ExecutorInfo, MethodInfo, Option, WorkloadInfo
from actbench.registry import Registration

LONGEST_ANSWER = 1 << 24
"""Bytes of one plugin's registrations."""

_MOST = 1000

Info = TypeVar("Info")


def to_json(registration: Registration) -> dict[str, Any]:
    """Plain JSON values."""
    return {
        "methods": [
            {**_plain(MethodInfo, info), "options": [_plain(Option, option) for option in info.options]}
            for info in registration.methods
        ],
        "workloads": [_plain(WorkloadInfo, info) for info in registration.workloads],
        "executors": [_plain(ExecutorInfo, info) for info in registration.executors],
        "notes": registration.notes,
    }


def from_json(data: Any) -> Registration:
    """What `to_json` gave. Raises ValueError for anything else."""
    try:
        return Registration(
            _infos(data["methods"], _method),
            _infos(data["workloads"], lambda info: WorkloadInfo(**_with_tuples(info, "requires"))),
            _infos(data["executors"], lambda info: ExecutorInfo(**info)),
            _infos(data["notes"], _note),
        )
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"no registrations: {error}") from error


def _plain(kind: type[Any], info: Any) -> dict[str, Any]:
    """The fields of a class, whatever a subclass adds."""
    return {field.name: getattr(info, field.name) for field in fields(kind)}


def _infos(data: Sequence[Any], read: Callable[[Any], Info]) -> list[Info]:
    if not isinstance(data, list) or len(data) > _MOST:
        raise ValueError(f"no list of {_MOST} at most")
    return [read(one) for one in data]


def _method(data: dict[str, Any]) -> MethodInfo:
    options = tuple(Option(**_with_tuples(option, "choices")) for option in data["options"])
    return MethodInfo(**{**_with_tuples(data, "tracks"), "options": options})


def _with_tuples(data: dict[str, Any], name: str) -> dict[str, Any]:
    """Data with one of its lists as a tuple."""
    return {**data, name: tuple(data[name])}


def _note(text: Any) -> str:
    check_text("note", text)
    return str(text)
