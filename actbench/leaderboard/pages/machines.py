"""Where a record was measured, and where it was repeated, beside each other."""

from __future__ import annotations

import re

from actbench.records.record import Environment, Record
from actbench.records.verification import Verification

_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b")


def machines(record: Record, verification: Verification | None) -> list[tuple[str, str, str]]:
    """What it is, what it was for the record, and for its repetition."""
    published = _described(record.environment)
    repeated = _described(verification.environment if verification else None)
    return [(name, published.get(name, "–"), repeated.get(name, "–")) for name in {**published, **repeated}]


def _described(environment: Environment | None) -> dict[str, str]:
    if environment is None:
        return {}
    load = environment.load
    others = "" if load is None or load.others is None else f"others used {100 * load.others:.0f} %"
    said = {**environment.versions, **environment.machine, "revision": environment.revision or "–"}
    said |= {"plugin": str(environment.plugin or "–"), "load": others or "–"}
    return {name: str(value) for name, value in said.items()}


def short(text: object) -> str:
    """Text in which digests are their first digits."""
    return _DIGEST.sub(r"\1…", str(text))
