"""A row of a board: the records of one cell, of one seed or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from actbench.feature_map import FLOAT_BITS
from actbench.leaderboard.curves import Point
from actbench.leaderboard.rank import Rank
from actbench.leaderboard.seeds import difference_over_seeds, mean, quality_over_seeds
from actbench.leaderboard.significance import Sample
from actbench.records.column import Column, Value
from actbench.records.record import Record, Status
from actbench.records.verification import Verification


@dataclass(frozen=True)
class Row:
    """The records of a cell, one for each seed, the lowest first. `rank`: among those that hold the same ceiling, None
    without one. `verifications`: what repetitions of the records found, where there were some. `is_older`: whether the
    method that is installed is of a newer version."""

    records: tuple[Record, ...]
    name: str
    rank: Rank | None = None
    verifications: tuple[Verification, ...] = ()
    is_older: bool = False

    @property
    def record(self) -> Record:
        """That of the lowest seed, for what all have in common."""
        return self.records[0]

    @cached_property
    def ceiling(self) -> str:
        """The ceiling as it was asked for; empty for the reference."""
        return "" if self.is_reference else str(self.record.cell.budget.ceiling)

    @cached_property
    def is_reference(self) -> bool:
        """Whether this is the network as it is."""
        return self.record.cell.is_reference

    @cached_property
    def status(self) -> Status:
        """`ok` where each seed is, else how the first ended that is not."""
        return self._decisive.status

    @property
    def reason(self) -> str:
        """Why the status is not ok, and for which of several seeds."""
        reason, seed = self._decisive.reason, self._decisive.cell.seed
        return reason if self.status == "ok" or len(self.records) == 1 else f"seed {seed}: {reason}"

    @cached_property
    def _decisive(self) -> Record:
        return next((record for record in self.records if record.status != "ok"), self.record)

    @cached_property
    def holds(self) -> bool:
        """Whether it holds a ceiling, with a quality to be ranked by."""
        return bool(self.ceiling) and self.status == "ok" and self.quality is not None

    @property
    def mark(self) -> str:
        """Whether repetitions found the same, when and of how many seeds, and whether the version is an older one;
        empty without either. A row without a result gets no ✓: that it has none again confirms nothing of a method."""
        same = "✓ " if self.status == "ok" else "repeated "
        found = dict.fromkeys(
            (same if one.holds else "differs ") + one.when.partition("T")[0] for one in self.verifications
        )
        several = f"{len(self.verifications)} of {len(self.records)} seeds" if found and len(self.records) > 1 else ""
        return ", ".join(filter(None, [*found, several, "older version" if self.is_older else ""]))

    @cached_property
    def quality(self) -> Sample | None:
        """The mean over seeds, with its interval over seeds and images; None where a seed has none."""
        qualities = [quality for record in self.records if (quality := record.measurements.quality) is not None]
        return quality_over_seeds(qualities) if len(qualities) == len(self.records) else None

    @cached_property
    def sign(self) -> int:
        """What its quality is multiplied by so that more is better."""
        quality = self.record.measurements.quality
        return 1 if quality is None else quality.sign

    @cached_property
    def difference(self) -> Sample | None:
        """The same of the difference to the reference."""
        qualities = [quality for record in self.records if (quality := record.measurements.quality) is not None]
        return difference_over_seeds(qualities) if len(qualities) == len(self.records) else None

    def value(self, column: Column[Record]) -> Value:
        """The mean of a column over the seeds; what is no number, or alike for all, as it is."""
        return _mean([column.value(record) for record in self.records])

    def comparable(self, column: Column[Record]) -> Value:
        """The same, None where one of them does not compare."""
        values = [column.comparable(record) for record in self.records]
        return None if None in values else _mean(values)

    @cached_property
    def point(self) -> Point | None:
        """Bits that the ceiling counts, of the worst image and seed, for each value in fp32, and quality, with the sign
        with which more is better; None where either was not measured."""
        stored = [bits for record in self.records if (bits := _counted_bits(record)) is not None]
        if self.quality is None or len(stored) < len(self.records):
            return None
        low, high = sorted(self.sign * end for end in self.quality.interval)
        return Point(max(stored), self.sign * self.quality.value, (low, high))


def sign_of(rows: Sequence[Row]) -> int:
    """What the qualities of some rows of a board are multiplied by so that more is better."""
    return next((row.sign for row in rows if row.quality is not None), 1)


def _mean(values: Sequence[Value]) -> Value:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(set(values)) == 1 or len(numbers) < len(values):
        return values[0]
    return mean(numbers)


def _counted_bits(record: Record) -> float | None:
    """What the record's kind of ceiling counts, on the worst image, in bits for each value in fp32."""
    measured = record.measurements
    if measured.training is not None and measured.training.payload_bytes is not None:
        stored, reference = measured.training.most_payload_bytes, measured.training.reference_payload_bytes
    elif measured.footprint is not None:
        stored, reference = measured.footprint.counted(record.cell.budget.ceiling.kind)
    else:
        return None
    return FLOAT_BITS * max(1, stored) / max(1, reference)
