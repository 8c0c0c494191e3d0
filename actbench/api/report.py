"""Tables of a compressed model, as text and for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from actbench.codec.codec import Codec
from actbench.feature_map import FeatureMap
from actbench.records.parts.footprint import Footprint, StoredMap


@dataclass(frozen=True)
class Counted:
    """Bits that were counted, under a budget. Ratios are of fp32, and of the worst image."""

    budget: str
    footprint: Footprint

    @property
    def peak_ratio(self) -> float:
        """Of the largest map."""
        return self._ratio("peak")

    @property
    def traffic_ratio(self) -> float:
        """Of all maps together."""
        return self._ratio("traffic")

    @property
    def live_ratio(self) -> float:
        """Of what is in memory at once while a layer computes."""
        return self._ratio("live")

    @property
    def bits_per_value(self) -> float:
        """The mean over images, side information included."""
        return self.footprint.bits_per_value

    def __str__(self) -> str:
        lines = [f"{part.name}: {_kib(part.elements * 32)} -> {_kib(part.bits.maximum)} KiB" for part in self._maps]
        return "\n".join([*lines, self._summary])

    def _repr_html_(self) -> str:
        titles = ("map", "C x H x W", "fp32 KiB", "stored KiB", "")
        most = max(part.bits.maximum for part in self._maps)
        rows = [
            (
                escape(part.name),
                f"{part.channels} x {part.height} x {part.width}",
                _kib(part.elements * 32),
                _kib(part.bits.maximum),
                _bar(part.bits.maximum / max(1, most)),
            )
            for part in self._maps
        ]
        return _table(titles, rows, self._summary)

    @property
    def _maps(self) -> Sequence[StoredMap]:
        return self.footprint.maps

    @property
    def _summary(self) -> str:
        return (
            f"{self.budget}: peak {self.peak_ratio:.2f}x, traffic {self.traffic_ratio:.2f}x, live "
            f"{self.live_ratio:.2f}x, {self.bits_per_value:.2f} bits a value"
        )

    def _ratio(self, kind: str) -> float:
        stored, reference = self.footprint.counted(kind)
        return reference / max(1, stored)


def plan_as_html(maps: Sequence[FeatureMap], codecs: Mapping[str, Codec], budget: str) -> str:
    """A table of maps and what stores them."""
    rows = [
        (
            escape(fmap.name),
            f"{fmap.channels} x {fmap.height} x {fmap.width}",
            type(codecs[fmap.name]).__name__,
            escape(", ".join(f"{name}={value}" for name, value in codecs[fmap.name].describe().items())),
        )
        for fmap in maps
    ]
    return _table(("map", "C x H x W", "codec", "setting"), rows, budget)


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]], caption: str) -> str:
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _bar(share: float) -> str:
    return (
        f'<svg width="120" height="10" role="img" aria-label="{100 * share:.0f} % of the largest">'
        f'<rect width="{120 * share:.1f}" height="10" fill="#3b6ea5"/></svg>'
    )


def _kib(bits: int) -> str:
    return f"{bits / 8192:,.1f}"
