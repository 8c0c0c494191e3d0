"""Runs checks, and records how each ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from actbench import __version__
from actbench.records.conformance import CheckOutcome, Conformance
from actbench.testing.check import Check, Failed, Skipped
from actbench.testing.checks import CHECKS
from actbench.testing.subject import Subject


def conduct(
    subject: Subject, checks: Sequence[Check] = CHECKS, ended: Callable[[CheckOutcome], None] = lambda outcome: None
) -> Conformance:
    """Runs all checks, each whatever the others say; `ended` is called with the outcome of each at once."""
    outcomes = []
    for check in checks:
        outcomes.append(_outcome(check, subject))
        ended(outcomes[-1])
    info = subject.info
    return Conformance(
        method=info.name, version=info.version, options=subject.options, actbench=__version__, checks=outcomes
    )


def _outcome(check: Check, subject: Subject) -> CheckOutcome:
    try:
        with torch.no_grad():
            check.run(subject)
    except Skipped as reason:
        return CheckOutcome(number=check.number, name=check.name, status="skipped", reason=str(reason))
    except Failed as failure:
        return CheckOutcome(number=check.number, name=check.name, status="failed", reason=str(failure))
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return CheckOutcome(number=check.number, name=check.name, status="failed", reason=text[:500])
    return CheckOutcome(number=check.number, name=check.name, status="passed")
