"""Rows: the seeds of a cell together, how they are ranked and ordered, and what ceilings say together."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
from scipy import stats

from actbench.info import MethodInfo
from actbench.leaderboard.axes import axes
from actbench.leaderboard.board import Board, boards
from actbench.leaderboard.ceilings import OverCeilings
from actbench.leaderboard.columns import columns
from actbench.leaderboard.findings.ceilings import in_order
from actbench.leaderboard.publish import publish
from actbench.leaderboard.seeds import difference_over_seeds, quality_over_seeds, two_level_bootstrap
from actbench.records.parts.quality import Quality
from actbench.records.record import Record
from tests.leaderboard.made_up import footprint, quality, record


def board(*records: Record) -> Board:
    (one,) = boards(records, "quantize")
    return one


def over(kind: str, *records: Record) -> OverCeilings:
    (found,) = [one for one in board(*records).over_ceilings if one.kind == kind]
    return found


def hits(share: float, seed: int = 0, images: int = 400) -> list[float]:
    return (numpy.random.default_rng(seed).permutation(images) < share * images).astype(float).tolist()


def numbers(of: Board) -> dict[str, int | None]:
    return {row.name: row.rank.number if row.rank else None for row in of.rows}


def text(of: Board, column: str, row: int = 0) -> str:
    (shown,) = [one for one in columns(of.track) if one.name == column]
    return shown.text(of.rows[row])


def test_pairs_of_images_tell_rows_apart_whose_intervals_overlap() -> None:
    """The second is wrong on 12 images on which the first is right, and on no other: an interval is ± 1."""
    first = hits(0.9)
    second = list(first)
    for place in [place for place, hit in enumerate(first) if hit][:12]:
        second[place] = 0.0
    same = list(reversed(first))
    found = board(record("a", hits=first), record("b", hits=second), record("c", hits=same))
    assert numbers(found) == {"a": 1, "c": 1, "b": 3}
    assert [text(found, "rank", row) for row in range(3)] == ["1", "1", "3"]


@pytest.mark.parametrize("turned", [False, True])
def test_which_of_two_best_rows_is_handed_over_first_changes_no_rank(turned: bool) -> None:
    """The third is wrong on 12 images more than `a` is, which tells them apart; `b`, as good as `a`, has others right,
    and is told apart from neither."""
    best = hits(0.8)
    worse = list(best)
    for place in [place for place, hit in enumerate(best) if hit][:12]:
        worse[place] = 0.0
    rows = [record("a", hits=best), record("b", hits=hits(0.8, 1)), record("c", hits=worse)]
    found = board(*(reversed(rows) if turned else rows))
    assert numbers(found) == {"a": 1, "b": 1, "c": 3}
    assert in_order(found.ceilings["8x"])[0].name == "a", "what findings say is said of the row that opens the rank"


def test_what_was_compared_by_intervals_says_so() -> None:
    found = board(record("a", hits=hits(0.9)), record("b", value=80.0), record("c", hits=hits(0.9, images=200)))
    assert {row.name: text(found, "rank", place) for place, row in enumerate(found.rows)} == {
        "a": "1",
        "b": "3 (unpaired)",
        "c": "1 (unpaired)",
    }


def test_seeds_of_a_cell_are_one_row() -> None:
    seeds = [record("m", hits=hits(share, seed), seed=seed) for seed, share in enumerate((0.8, 0.82, 0.84))]
    found = board(*seeds, record("quantize", hits=hits(0.5, 9)), record("quantize", hits=hits(0.5, 8), seed=1))
    assert [(row.name, len(row.records)) for row in found.rows] == [("m", 3), ("quantize", 2)]
    row = found.rows[0]
    assert row.quality is not None
    assert row.quality.value == pytest.approx(82.0)
    low, high = row.quality.interval
    assert low < 82 < high
    assert text(found, "quality") == f"82.00 ± {(high - low) / 2:.2f}"
    assert text(found, "name") == "m (3 seeds)"
    assert text(found, "difference").startswith("-8.00 ± ")
    assert row.point is not None
    assert row.point.quality == pytest.approx(82.0)


def test_a_row_with_a_seed_that_failed_has_no_rank() -> None:
    failed = record("m", value=None, seed=1, status="crash", reason="why")
    found = board(record("m", hits=hits(0.8)), failed, record("other", value=50.0))
    assert numbers(found) == {"m": None, "other": 1}
    row = found.rows[1]
    assert (row.status, row.reason, row.quality) == ("crash", "seed 1: why", None)
    assert not over("peak", record("quantize"), record("m"), failed).curves.get("m")


def test_versions_of_a_method_are_rows_of_their_own() -> None:
    found = board(record("m"), record("m", version="2"), record("m", version="2", seed=1))
    assert {(row.name, len(row.records)) for row in found.rows} == {("m version 1", 1), ("m version 2", 2)}


def qualities(rows: Sequence[Sequence[float]]) -> list[Quality]:
    return [Quality.model_validate(quality(100 * sum(row) / len(row), hits=list(row))) for row in rows]


def test_one_seed_keeps_its_own_intervals() -> None:
    own = qualities([hits(0.8)])
    assert quality_over_seeds(own).interval == own[0].interval
    assert difference_over_seeds(own).interval == own[0].difference_interval


def test_equal_seeds_have_the_interval_of_their_images() -> None:
    values = numpy.random.default_rng(0).normal(size=500)
    low, high = two_level_bootstrap(numpy.stack([values] * 3))
    expected = stats.bootstrap((values,), numpy.mean, method="percentile", rng=0).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.01)


def test_seeds_that_vary_alone_have_the_variance_of_their_mean() -> None:
    """Unbiased for a few of them, too: s² / seeds."""
    values = numpy.random.default_rng(1).normal(size=8)
    low, high = two_level_bootstrap(numpy.repeat(values[:, None], 20, 1))
    expected = 2 * 1.96 * values.std(ddof=1) / len(values) ** 0.5
    assert high - low == pytest.approx(expected, rel=0.1)


def test_the_interval_over_seeds_and_images_holds_what_it_says() -> None:
    """About 95 %, of means over eight seeds and 100 images that have the same images."""
    random, held = numpy.random.default_rng(5), 0
    for _ in range(100):
        images, seeds, noise = random.normal(size=100), random.normal(size=(8, 1)), random.normal(size=(8, 100))
        low, high = two_level_bootstrap(images + 0.3 * seeds + noise)
        held += low <= 0 <= high
    assert 85 <= held <= 99


def test_without_values_of_images_variances_are_added() -> None:
    """Of images 1 / 1.96 each, and of the seeds' mean sqrt(4 / 3)."""
    made = [Quality.model_validate(quality(value)) for value in (80.0, 82.0, 84.0)]
    low, high = quality_over_seeds(made).interval
    assert (high - low) / 2 == pytest.approx((1 + 1.96**2 * 4 / 3) ** 0.5, rel=1e-3)
    low, high = difference_over_seeds(made).interval
    assert (high - low) / 2 == pytest.approx((0.5**2 + 1.96**2 * 4 / 3) ** 0.5, rel=1e-3)


def timed(name: str, ratio: float, spread: float = 0.0, others: float = 0.0, memory: int = 10) -> Record:
    """Of equal quality; the quartiles of its time are `spread` of it apart."""
    low, high = ratio * (1 - spread / 2), ratio * (1 + spread / 2)
    times = {"median": ratio, "quartiles": [low, high], "samples": [low, low, ratio, high, high]}
    baseline = {"median": 1.0, "quartiles": [1.0, 1.0], "samples": [1.0] * 5}
    of_rounds = {"subject": times, "baseline": baseline, "ratio": ratio, "ratio_quartiles": [low, high]}
    latency = {"batch": 1, "encode": 0.0, "decode": 0.0} | of_rounds
    kept = {"peak_bytes": memory, "reserved_bytes": None, "source": "tensors", "reference_peak_bytes": 10}
    load = {"start": None, "end": None, "others": others}
    environment = {"versions": {}, "machine": {}, "revision": None, "load": load}
    return record(name, parts={"latency": latency, "memory": kept}, environment=environment)


def test_within_a_rank_rows_stand_by_time_and_then_by_memory() -> None:
    """Times that do not compare are in no order: their rows come last, by memory."""
    found = board(
        timed("unsteady", 0.5, spread=0.2, memory=3),
        timed("busy", 0.5, others=0.5, memory=2),
        timed("slow", 3.0, memory=1),
        timed("fast", 2.0, memory=9),
        timed("fast-and-small", 2.0, memory=8),
    )
    assert {row.rank.number for row in found.rows if row.rank} == {1}
    assert [row.name for row in found.rows] == ["fast-and-small", "fast", "slow", "busy", "unsteady"]
    assert [text(found, "latency_ratio", row) for row in (0, 3, 4)] == ["2.00x", "0.50x (busy)", "0.50x (unsteady)"]


def data_dependent(largest: int) -> dict[str, Any]:
    """A footprint of which the mean says little of the worst of 100 images."""
    made = footprint(64)
    samples = [*[64] * 99, largest]
    mean = sum(samples) / 100
    spread = {"mean": mean, "percentile_99": 64 + 0.01 * (largest - 64), "maximum": largest, "samples": samples}
    made["maps"][0]["bits"] = spread
    return made | {"peak": spread, "traffic": spread, "bits_per_value": mean / 32, "limit": 128}


def test_hypervolumes_count_what_the_ceiling_counts_on_the_worst_image() -> None:
    """128 of 1024 bits are 3 octaves below fp32, times 70 above chance; 64 on the other images count for nothing."""
    found = over("peak", record("quantize"), record("coder", parts={"footprint": data_dependent(128)}))
    assert found.hypervolumes == pytest.approx({"quantize": 210.0, "coder": 210.0})


def test_hypervolumes_are_over_the_ceilings_that_all_hold() -> None:
    records = [
        record("quantize", "4x", 85.0, 256),
        record("quantize", "8x", 80.0, 128),
        record("quantize", "16x", 40.0, 64),
        record("few", "4x", 85.0, 256),
        record("few", "8x", 80.0, 128),
        record("few", "16x", None, status="unsupported", reason="why"),
    ]
    found = over("peak", *records)
    assert found.common == ("4x", "8x")
    assert found.hypervolumes == pytest.approx({"quantize": 3 * 70 + 2 * 5, "few": 3 * 70 + 2 * 5})
    apart = over("peak", *records[:3], record("other", "2x", 80.0, 512))
    assert apart.common == ()
    assert set(apart.hypervolumes.values()) == {"no ceiling that all hold"}


def test_kinds_of_ceilings_are_no_one_curve() -> None:
    mixed = [record("quantize", "8x"), record("quantize", "traffic:8x"), record("m", "8x"), record("m", "traffic:4x")]
    found = {one.kind: one for one in board(*mixed).over_ceilings}
    assert {kind: one.common for kind, one in found.items()} == {"peak": ("8x",), "traffic": ()}


def test_without_a_reference_point_there_is_no_hypervolume(tmp_path: Path) -> None:
    """As in records of protocol 1, and where records do not agree."""
    old = record("quantize", unit="dB")
    assert over("peak", old).hypervolumes == {"quantize": "no reference point in the records"}
    assert over("peak", old, record("m")).hypervolumes["m"] == "no reference point in the records"
    publish([old], tmp_path, "quantize")
    for name in ("README.md", "w8a2-8-inference-closed.html"):
        assert "n/a: no reference point in the records" in (tmp_path / "boards" / "toy" / name).read_text()


def ladder(name: str, bits: float, seeds: int = 1) -> list[Record]:
    """Four ceilings, at each `bits` of what it allows."""
    steps = ((2, 88.0), (4, 80.0), (8, 60.0), (16, 30.0))
    return [
        record(name, f"{factor}x", value, int(bits * 1024 / factor), seed=seed)
        for factor, value in steps
        for seed in range(seeds)
    ]


@pytest.mark.parametrize("seeds", [1, 3])
def test_bd_rates_are_against_the_anchor_with_seeds_or_without(seeds: int) -> None:
    rates = over("peak", *ladder("quantize", 1, seeds), *ladder("half", 0.5, seeds), *ladder("three", 1, seeds)[seeds:])
    assert rates.bd_rates == {"half": pytest.approx(-50), "three": "fewer than 4 points on the front"}
    assert over("peak", record("m")).bd_rates == {"m": "no row of quantize"}


def test_rows_of_an_older_version_are_in_no_curve() -> None:
    """They are shown, and neither hide the anchor nor take a ceiling away from the others."""
    now = [*ladder("quantize", 1), *ladder("half", 0.5)]
    before = [record("quantize", "8x", version="0"), record("half", "32x", 20.0, 16, version="0")]
    old, new = over("peak", *now), over("peak", *now, *before)
    assert new.common == old.common == ("2x", "4x", "8x", "16x")
    assert new.bd_rates == {"half version 1": old.bd_rates["half"]}
    assert list(new.hypervolumes.values()) == list(old.hypervolumes.values())


def test_what_is_installed_takes_no_curve_away() -> None:
    """A board of an older protocol has older versions alone."""
    newer = MethodInfo(name="quantize", title="Newer", target="gone:Gone", version="2", tracks=("inference",))
    (found,) = boards(ladder("quantize", 1), "quantize", methods={"quantize": newer})
    assert all(row.is_older for row in found.rows)
    assert [one.common for one in found.over_ceilings] == [("2x", "4x", "8x", "16x")]


def test_the_front_runs_in_steps() -> None:
    """On each axis from the best end on; what is worse in both, and the reference, is on none."""
    found = board(record("none", "1x", 90.0, 1024), *ladder("quantize", 1), record("worse", "8x", 50.0, 128))
    peak = next(axis for axis in axes("inference") if axis.column.name == "peak_ratio")
    corners = [(16, 30), (8, 30), (8, 60), (4, 60), (4, 80), (2, 80), (2, 88)]
    assert found.front(peak) == tuple((float(place), float(quality)) for place, quality in corners)
    latency = next(axis for axis in axes("inference") if axis.column.name == "latency_ratio")
    times = board(timed("a", 2.0), timed("b", 0.5, spread=0.2), timed("c", 3.0))
    assert times.front(latency) == ((2.0, 80.0),), "nor are times that do not compare"


def test_pages_have_a_link_for_each_seed_and_the_figures_over_ceilings(tmp_path: Path) -> None:
    records = [*ladder("quantize", 1, 2), *ladder("half", 0.5, 2)]
    publish(records, tmp_path, "quantize")
    folder = tmp_path / "boards" / "toy"
    page, table = ((folder / name).read_text() for name in ("w8a2-8-inference-closed.html", "README.md"))
    links = re.findall(r'<a href="../../boards/toy/(records/[^"]+)">seed [01]</a>', page)
    assert len(links) == len(set(links)) == 16
    assert all((folder / link).is_file() for link in links)
    for said in (page, table):
        assert "-50.0 %" in said
        assert "(2x, 4x, 8x, 16x)" in said
        assert "quality above 10" in said
        assert said.count("(2 seeds)") == 8
    assert (tmp_path / "methods" / "half.html").read_text().count(">seed 1</a>") == 4


def test_metrics_that_are_no_means_are_compared_by_what_images_contribute() -> None:
    """Their own intervals, ± 1, do not tell the rows apart."""

    def row(name: str, values: list[float], seed: int = 0) -> Record:
        own = quality(sum(values) / len(values), unit="dB") | {"pseudo_values": values}
        return record(name, parts={"quality": own}, seed=seed, unit="dB")

    values = (30 + 10 * numpy.random.default_rng(0).random(100)).tolist()
    less = [value - 0.5 - 0.1 * (place % 2) for place, value in enumerate(values)]
    found = board(row("a", values), row("b", less), record("c", value=30.0, unit="dB"))
    assert {row.name: text(found, "rank", place) for place, row in enumerate(found.rows)} == {
        "a": "1",
        "b": "2",
        "c": "3 (unpaired)",
    }
    (seeds,) = board(row("a", values), row("a", values, 1)).rows
    assert seeds.quality is not None
    assert seeds.quality.interval[0] < seeds.quality.value < seeds.quality.interval[1]


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("huge", [1e160, 1e308])
@pytest.mark.parametrize("kept", ["per_image", "none"])
def test_absurd_numbers_stop_no_page(huge: float, kept: str, tmp_path: Path) -> None:
    """Records are of others: what overflows is shown as what it is, and plots are drawn."""

    def absurd(name: str, seed: int, sign: float) -> Record:
        ends = (-huge, huge)
        own = {"value": 0.0, "reference": 0.0, "difference": 0.0, "interval": ends, "difference_interval": ends}
        images = (
            {"per_image": [sign * huge, -sign * huge] * 50}
            if kept == "per_image"
            else {"value": huge, "difference": huge}
        )
        return record(name, parts={"quality": quality(0.0, unit="dB") | own | images}, seed=seed, unit="dB")

    publish([absurd(name, seed, 1 - 2 * seed) for name in ("a", "quantize") for seed in (0, 1)], tmp_path, "quantize")
    (data,) = re.findall(
        r'<script type="application/json" id="rows">(.*?)</script>', (tmp_path / "choose.html").read_text()
    )
    assert "Infinity" not in data
    assert "NaN" not in data
    for picture in (tmp_path / "boards" / "toy").glob("*.svg"):
        assert not re.search(r'd="M[^"]*(?:inf|nan)', picture.read_text())
