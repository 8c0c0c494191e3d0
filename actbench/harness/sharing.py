"""Cells of a run that no other run on the same store carries out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from actbench.harness.schedule import ScheduledCell
from actbench.records.claims import Claims
from actbench.records.store import Store
from actbench.spec import CellSpec


def unclaimed(
    scheduled: Sequence[ScheduledCell], store: Store, claims: Claims, elsewhere: Callable[[CellSpec], None]
) -> Iterator[CellSpec | None]:
    """Yields the cells one by one, each the moment it is claimed. Those that other runs have claimed come last: when
    they have a record it is said (`elsewhere`), and when a run ends without one, this run claims them. Yields None
    where all that are left are others', and there is nothing to do but to ask again later. What was recorded since
    the cells were scheduled counts."""
    waiting = list(scheduled)

    def is_done(one: ScheduledCell) -> bool:
        return store.has(one.cell.workload.name, one.cell.key, one.attempt + 1)

    while waiting:
        others = []
        for one in waiting:
            cell = one.cell
            if is_done(one):
                elsewhere(cell)
            elif not claims.take(cell.key):
                others.append(one)
            elif is_done(one):  # between the two looks
                claims.give_back(cell.key)
                elsewhere(cell)
            else:
                yield cell
        if waiting == others:
            yield None
        waiting = others
