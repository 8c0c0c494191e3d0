"""Cells of a run that no other run on the same store carries out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from actbench.records.claims import Claims
from actbench.records.store import Store
from actbench.spec import CellSpec


def unclaimed(
    cells: Sequence[CellSpec], store: Store, claims: Claims, elsewhere: Callable[[CellSpec], None]
) -> Iterator[CellSpec | None]:
    """Yields the cells one by one, each the moment it is claimed. Those that other runs have claimed come last: when
    they have a record it is said (`elsewhere`), and when a run ends without one, this run claims them. Yields None
    where all that are left are others', and there is nothing to do but to ask again later."""
    before = {name: store.attempt_numbers(name) for name in {cell.workload.name for cell in cells}}
    waiting = list(cells)

    def is_done(cell: CellSpec) -> bool:
        return store.has(cell.workload.name, cell.key, 1 + before[cell.workload.name].get(cell.key, 0))

    while waiting:
        others = []
        for cell in waiting:
            if is_done(cell):
                elsewhere(cell)
            elif not claims.take(cell.key):
                others.append(cell)
            elif is_done(cell):  # between the two looks
                claims.give_back(cell.key)
                elsewhere(cell)
            else:
                yield cell
        if waiting == others:
            yield None
        waiting = others
