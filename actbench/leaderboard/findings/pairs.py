"""What two boards say that differ in one thing: recovery against calibration alone, free widths against fixed ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from actbench.budget import Bits
from actbench.leaderboard.board import Board, BoardKey
from actbench.leaderboard.findings.sentence import Group, Sentence, chance_text, link
from actbench.leaderboard.row import Row
from actbench.leaderboard.significance import LEVEL, chance, holm, paired_difference
from actbench.settings import Inference
from actbench.spec import PROTOCOL


@dataclass(frozen=True)
class Change:
    """One cell on both boards. `gain`: what quality gains, more being better, with half of its 95 % interval; `chance`:
    the p-value, corrected for the number of cells at the ceiling."""

    before: Row
    after: Row
    gain: float
    half: float
    chance: float

    @property
    def sign(self) -> int:
        """1 for a gain, −1 for a loss, 0 where chance would do."""
        return 0 if self.chance > LEVEL else 1 if self.gain > 0 else -1


def between_boards(shown_boards: Sequence[Board]) -> list[Group]:
    """For each two boards that differ in the division, or in the freedom of widths, what that changes at each
    ceiling."""
    found = []
    for before in shown_boards:
        for after in shown_boards:
            if title := _difference(before.key, after.key):
                title += "" if after.key.protocol == PROTOCOL else f", protocol {after.key.protocol}"
                sentences = [_said(ceiling, changes) for ceiling, changes in _by_ceiling(before, after)]
                found += [(title, sentences)] if sentences else []
    return found


def _difference(before: BoardKey, after: BoardKey) -> str:
    """What the second board has that the first has not; empty where that is nothing, or more than one thing."""
    settings = after.settings
    if isinstance(settings, Inference) and settings.recover and not before.settings.training_steps:
        closed = replace(after, settings=replace(settings, recover=0, recipe="protocol"))
        recipe = "" if settings.recipe == "protocol" else f", recipe {settings.recipe}"
        return f"Open ({settings.recover} steps{recipe}) against closed, {after.bits}" if before == closed else ""
    if replace(after, bits=before.bits) != before or before.bits == after.bits:
        return ""
    fixed, free = Bits.parse(before.bits), Bits.parse(after.bits)
    is_freed = fixed.low == fixed.high and free.low < free.high and free.high == fixed.high
    return f"Free widths ({after.bits}) against fixed ones ({before.bits}), {settings.division}" if is_freed else ""


def _by_ceiling(before: Board, after: Board) -> Iterator[tuple[str, list[Change]]]:
    for ceiling, rows in after.ceilings.items():
        old = {_cell(row): row for row in before.ceilings.get(ceiling, ()) if row.holds}
        pairs = [(old[_cell(row)], row) for row in rows if row.holds and _cell(row) in old]
        if pairs:
            yield ceiling, _changes(pairs)


def _cell(row: Row) -> tuple[str, str, tuple[tuple[str, object], ...]]:
    method = row.record.cell.method
    return method.name, method.version, tuple(sorted(method.options.items()))


def _changes(pairs: Sequence[tuple[Row, Row]]) -> list[Change]:
    samples = [(old.quality, new.quality) for old, new in pairs]
    known = [(old, new) for old, new in samples if old is not None and new is not None]
    chances = holm([chance(new, old) for old, new in known])
    gains = [paired_difference(new, old) for old, new in known]
    return [
        Change(old, new, new.sign * gain, half, corrected)
        for (old, new), (gain, half), corrected in zip(pairs, gains, chances, strict=True)
    ]


def _said(ceiling: str, changes: Sequence[Change]) -> Sentence:
    better = sum(change.sign > 0 for change in changes)
    worse = sum(change.sign < 0 for change in changes)
    counts = f"At {ceiling}, of {len(changes)} rows {better} are better and {worse} worse (paired, Holm over them)"
    top, last = (pick(changes, key=lambda change: change.gain) for pick in (max, min))
    said = [("most, ", *_one(top))] if better else []
    said += [("least, ", *_one(last))] if worse else []
    return (counts, *(word for part in said for word in ("; ", *part)), ".")


def _one(change: Change) -> Sentence:
    return (
        f"{change.after.name} from ",
        link(change.before, _value(change.before)),
        " to ",
        link(change.after, _value(change.after)),
        f", {change.gain:+.{_places(change.after)}f} ± {change.half:.{_places(change.after)}f}, "
        f"{chance_text(change.chance)}",
    )


def _value(row: Row) -> str:
    return f"{row.quality.value:.{_places(row)}f}" if row.quality else ""


def _places(row: Row) -> int:
    quality = row.record.measurements.quality
    return quality.decimals if quality else 2
