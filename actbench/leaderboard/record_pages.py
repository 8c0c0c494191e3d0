"""Pages of single records: none depends on another, so that several processes write them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from actbench.children import die_with_parent
from actbench.errors import UserError
from actbench.leaderboard.site import Site
from actbench.records.record import Record
from actbench.records.verification import Verification, digest

_FEW = 100
"""Records that a process takes at a time; no more than these are not worth other processes."""

Pages = Sequence[tuple[Path, Record]]
"""Records, and where the page of each goes."""


@contextmanager
def written_meanwhile(pages: Pages, verifications: Mapping[str, Verification]) -> Iterator[None]:
    """Writes pages while the body of the `with` statement does something else; they are there when it ends. Raises
    UserError where somebody ends the processes that write."""
    if len(pages) <= _FEW:
        yield
        write_record_pages(pages, verifications)
        return
    parts = [pages[start : start + _FEW] for start in range(0, len(pages), _FEW)]
    # Where processes are forked by a server, as newer versions of Python have it, that would be their parent.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    most = min(os.cpu_count() or 1, len(parts))
    with ProcessPoolExecutor(most, context, initializer=_begin, initargs=(os.getpid(),)) as pool:
        try:
            written = [pool.submit(write_record_pages, part, verifications) for part in parts]
            yield
            for one in written:
                one.result()
        except BrokenProcessPool as error:
            raise UserError("a process that wrote pages was ended from outside: publish again") from error
        finally:
            pool.shutdown(cancel_futures=True)


def write_record_pages(pages: Pages, verifications: Mapping[str, Verification]) -> None:
    """Writes pages, each with the mark of verification that its record has."""
    site = Site({})
    for path, record in pages:
        verification = verifications.get(digest(record)) if verifications else None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(site.record(record, verification), encoding="utf-8")


def _begin(parent: int) -> None:
    """The process that started this one ends it: where it is killed itself, or somebody interrupts both."""
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
