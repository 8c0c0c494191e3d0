"""Plugin for pytest: runs a test that is marked `@pytest.mark.actbench("METHOD")` and takes `check` once for each check
of the conformance kit. Nothing heavy is imported before one is collected."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from actbench.testing.check import Check
    from actbench.testing.subject import Subject


def pytest_configure(config: pytest.Config) -> None:
    """Declares the mark."""
    config.addinivalue_line(
        "markers", "actbench(method, options={}, plugin=[]): run once for each check of actbench's conformance kit"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Makes one test for each check."""
    mark = metafunc.definition.get_closest_marker("actbench")
    if mark is None or "check" not in metafunc.fixturenames:
        return
    from actbench.testing import CHECKS

    lazy = _Lazy(*mark.args, **mark.kwargs)
    metafunc.parametrize("check", [partial(_run, check, lazy) for check in CHECKS], ids=[str(c) for c in CHECKS])


class _Lazy:
    """Subject that is made when the first check asks for it."""

    def __init__(self, method: str, options: dict[str, Any] | None = None, plugin: Any = ()) -> None:
        self._make: Callable[[], Subject] = partial(_subject, method, options or {}, plugin)
        self._made: Subject | None = None

    def get(self) -> Subject:
        if self._made is None:
            self._made = self._make()
        return self._made


def _subject(method: str, options: dict[str, Any], plugin: Any) -> Subject:
    from pathlib import Path

    from actbench.testing.subject import Subject

    return Subject(method, options, [Path(file) for file in plugin])


def _run(check: Check, lazy: _Lazy) -> None:
    import torch

    from actbench.testing.check import Failed, Skipped

    try:
        with torch.no_grad():
            check.run(lazy.get())
    except Skipped as reason:
        pytest.skip(str(reason))
    except Failed as failure:
        pytest.fail(_message(check, str(failure)), pytrace=False)
    except Exception as error:
        raise Failed(_message(check, f"{type(error).__name__}: {error}")) from error


def _message(check: Check, reason: str) -> str:
    return f"check {check.number} ({check.name}): {reason}\n\n{check.explanation}"
