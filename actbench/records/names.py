"""What rows are called: a method, with what tells it from the others beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from actbench.records.record import Record
from actbench.spec import MethodSpec


def row_names(records: Sequence[Record], *, seeds: bool = True) -> list[str]:
    """Each record's method, with its version and those of its options in which records of that method differ, and with
    `seeds` its seed where seeds differ."""
    several = seeds and len({record.cell.seed for record in records}) > 1
    alike = _alike([record.cell.method for record in records])
    versions = Counter(
        name for name, _ in {(record.cell.method.name, record.cell.method.version) for record in records}
    )
    names = []
    for record in records:
        method = record.cell.method
        options = [f"{name}={value}" for name, value in method.options.items() if (method.name, name) not in alike]
        seed = [f"seed {record.cell.seed}"] if several else []
        version = [f"version {method.version}"] if versions[method.name] > 1 else []
        names.append(" ".join([method.name, *version, *options, *seed]))
    return names


def _alike(methods: Sequence[MethodSpec]) -> set[tuple[str, str]]:
    """Methods' options that all records of the method have, with the same value."""
    values: dict[tuple[str, str], list[object]] = {}
    for method in methods:
        for option, value in method.options.items():
            values.setdefault((method.name, option), []).append(value)
    count = Counter(method.name for method in methods)
    return {key for key, given in values.items() if given == given[:1] * count[key[0]]}
