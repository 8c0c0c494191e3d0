"""Records with a value of a wrong type in a field: each is named and left out, or does as well."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.attacks.attempt import Kind, together
from tests.attacks.beside_good import MOST, WHOLE, Writing, check_beside_good
from tests.records import whole
from tests.records.test_damaged import WRONG

MORE = ["", "\ud800", -0.0, 0, 1e-320, -(10**40), [None] * 1000, {"": ""}, "9" * 5000, False, "1", [{}], [1, "2"]]


def attempts(chance: random.Random) -> Mapping[str, tuple[str, Writing]]:
    """Every field of both tracks, with a value that is drawn."""
    made: dict[str, tuple[str, Writing]] = {}
    for track in WHOLE:
        for path in whole.paths_in(WHOLE[track]()):
            wrong = chance.choice([*WRONG, *MORE])
            made[f"{track} {path}: {repr(wrong)[:40]}"] = track, replaced(path, wrong)
    return made


def replaced(path: tuple[Any, ...], wrong: Any) -> Writing:
    def write(target: Path, data: dict[str, Any]) -> None:
        target.write_text(json.dumps(whole.at(data, *path, to=wrong)))

    return write


WRONG_TYPES = Kind("wrong types", 345, attempts, together(check_beside_good, MOST))
