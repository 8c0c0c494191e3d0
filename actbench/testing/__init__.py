"""Conformance kit: what a method has to hold to, as numbered checks. `actbench check METHOD` runs them; so does a test
that takes the fixture `check` and is marked `@pytest.mark.actbench("METHOD")`."""

from __future__ import annotations

from actbench.testing.check import Check, Failed, Skipped
from actbench.testing.checks import CHECKS
from actbench.testing.conduct import conduct
from actbench.testing.subject import Subject

__all__ = ["CHECKS", "Check", "Failed", "Skipped", "Subject", "conduct"]
