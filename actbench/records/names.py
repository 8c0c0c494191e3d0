"""What rows are called: a method, with what tells it from the others beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from actbench.records.record import Record
from actbench.spec import CellSpec, MethodSpec


def row_names(records: Sequence[Record], *, seeds: bool = True) -> list[str]:
    """The names of records' cells, in their order."""
    return cell_names([record.cell for record in records], seeds=seeds)


def cell_names(cells: Sequence[CellSpec], *, seeds: bool = True) -> list[str]:
    """Each cell's method, with its version and those of its options in which cells of that method differ, and with
    `seeds` its seed where seeds differ."""
    several = seeds and len({cell.seed for cell in cells}) > 1
    alike = _alike([cell.method for cell in cells])
    versions = Counter(name for name, _ in {(cell.method.name, cell.method.version) for cell in cells})
    names = []
    for cell in cells:
        method = cell.method
        options = [f"{name}={value}" for name, value in method.options.items() if (method.name, name) not in alike]
        seed = [f"seed {cell.seed}"] if several else []
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
