"""Tries every kind of attack, and says how many were tried and how many got what they wanted.

    python -m tests.attacks --kinds "damaged records,forged records" --seed 0

What a kind draws depends on the seed. Prints a table and each failure with its name; exit code 1 where there is one.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.attacks.attempt import Kind, Outcome
from tests.attacks.kinds import KINDS


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kinds", default=",".join(kind.name for kind in KINDS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    wanted = arguments.kinds.split(",")
    if unknown := set(wanted) - {kind.name for kind in KINDS}:
        parser.error(f"no kind {min(unknown)!r}; choose from {', '.join(kind.name for kind in KINDS)}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"ACTBENCH_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": "1"}
        chosen = [kind for kind in KINDS if kind.name in wanted]
        sys.exit(report(chosen, arguments.seed, Path(folder), Console()))


def report(kinds: Sequence[Kind], seed: int, folder: Path, console: Console) -> int:
    """Tries kinds of attacks and prints what came of them: 1 where one of them got what it wanted, or too few were
    tried, else 0."""
    table, failed, missing = Table("kind", "tried", "failed", "seconds"), 0, False
    for kind in kinds:
        start, outcomes = monotonic(), tried(kind, seed, folder / kind.name.replace(" ", "-"))
        failures = [outcome for outcome in outcomes if outcome.failure]
        for outcome in failures:
            console.print(escape(ascii(f"{kind.name}: {outcome.name}: {outcome.failure}")), soft_wrap=True)
        failed, missing = failed + len(failures), missing or len(outcomes) < kind.wanted
        table.add_row(kind.name, str(len(outcomes)), str(len(failures)), f"{monotonic() - start:.0f}")
        console.print(f"{kind.name}: {len(outcomes)} tried, {len(failures)} failed", highlight=False)
    console.print(table)
    return int(failed > 0 or missing)


def tried(kind: Kind, seed: int, folder: Path, sample: int | None = None) -> list[Outcome]:
    """Carries out the attempts of a kind, or a sample of them, in the order that the seed gives."""
    chance = random.Random(f"{kind.name} {seed}")
    attempts = dict(kind.attempts(chance))
    names = chance.sample(list(attempts), min(sample or len(attempts), len(attempts)))
    outcomes = list(kind.carry_out({name: attempts[name] for name in names}, folder))
    assert [outcome.name for outcome in outcomes] == names, "each has an outcome"
    return outcomes


if __name__ == "__main__":
    main()
