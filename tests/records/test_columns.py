"""Columns: each described once, and the same for tables, files and comparisons."""

from dataclasses import replace
from statistics import median

import pytest

from actbench.info import Track
from actbench.leaderboard.axes import axes
from actbench.records.column import NOTHING, Column, kibibytes, ratio, scaled, signed_number
from actbench.records.columns import COLUMNS, IN_TABLES, column, field_names, flat, legend, table_columns
from actbench.records.parts.implied import quantile
from actbench.records.record import Environment, Load, Record
from tests.leaderboard.made_up import RECORDS, record
from tests.records.whole import inference


def test_every_column_says_what_it_is() -> None:
    names = [shown.name for shown in COLUMNS]
    assert len(names) == len(set(names))
    for shown in COLUMNS:
        assert shown.title
        assert shown.help


@pytest.mark.parametrize("track", list(IN_TABLES))
def test_what_tables_show_has_a_direction_and_a_legend(track: Track) -> None:
    shown = table_columns(track)
    assert all(one.better in ("more", "less") for one in shown)
    assert [line.partition(": ")[0] for line in legend(track)] == [one.title for one in shown]


def test_what_is_compared_is_a_number_with_a_direction() -> None:
    compared = [shown for shown in COLUMNS if shown.repeats is not None]
    assert {shown.name for shown in compared} >= {"quality", "peak_bits", "traffic_bits", "macs", "latency_ratio"}
    for shown in compared:
        assert shown.better is not None
        assert (shown.interval is not None) == (shown.repeats != "exact")


def test_a_flat_row_has_every_field() -> None:
    for measured in RECORDS:
        assert list(flat(measured)) == field_names()
    row = flat(record("wavelet", "4x", 89.8, 250, options={"levels": 3}))
    assert (row["method"], row["options"], row["ceiling"], row["quality"]) == ("wavelet", "levels=3", "4x", 89.8)
    assert (row["quality_low"], row["quality_high"]) == (pytest.approx(88.8), pytest.approx(90.8))
    assert (row["peak_ratio"], row["peak_bits"], row["latency_ratio"]) == (1024 / 250, 250, None)
    assert row["live_ratio"] == 1
    assert flat(record("none", "1x"))["ceiling"] == ""


def test_the_text_of_a_value() -> None:
    measured = record("wavelet", "4x", 89.8, 250)
    assert column("quality").text(measured) == "89.80 ± 1.00"
    assert column("difference").text(measured) == "-0.20 ± 0.50"
    assert column("peak_ratio").text(measured) == "4.10x"
    assert column("latency_ratio").text(measured) == NOTHING
    assert column("seed").text(measured) == "0"
    assert [signed_number(1.5), ratio(8), scaled(62_801_152), scaled(999), kibibytes(1 << 20)] == [
        "+1.50",
        "8.00x",
        "62.8 M",
        "999",
        "1,024 KiB",
    ]


def test_a_column_of_what_holds_its_source() -> None:
    length = Column[str]("length", "length", "of a text", len, better="less", interval=lambda text: (0, len(text)))
    held: Column[list[str]] = length.of(lambda texts: texts[0] if texts else None)
    assert (held.value(["abc"]), held.value([])) == (3, None)
    assert (held.bounds(["abc"]), held.bounds([])) == ((0, 3), None)
    own = {"value": length.value, "interval": length.interval, "remarks": length.remarks}
    assert replace(held, **own) == length  # type: ignore[arg-type]


def test_a_copy_with_another_spec_is_another_cell() -> None:
    one, other = record("a"), record("b")
    assert one.cell.method.name == "a"
    copied = one.model_copy(update={"key": other.key, "spec": other.spec})
    assert copied.cell == other.cell
    assert one.cell.method.name == "a"
    assert isinstance(copied, Record)


def beside(others: float | None) -> Record:
    environment = Environment(versions={}, machine={}, revision=None, load=Load(start=0, end=0.5, others=others))
    return Record.model_validate(inference()).model_copy(update={"environment": environment})


def test_a_time_on_a_busy_machine_says_so_and_is_on_no_axis() -> None:
    busy, quiet, unknown = beside(0.21), beside(0.2), beside(None)
    assert (busy.busy, quiet.busy, unknown.busy) == (True, False, False)
    assert column("latency_ratio").text(busy) == column("latency_ratio").text(quiet) + " (busy)"
    assert column("quality").text(busy) == column("quality").text(quiet)
    for axis in axes("inference"):
        at = axis.column.value(quiet)
        assert at is not None
        assert axis.column.comparable(busy) == (None if axis.column.name == "latency_ratio" else at)
        assert axis.column.comparable(quiet) == at


def rounds(*factors: float, others: float = 0.0) -> Record:
    """A record whose deployed form took so many times the second that the baseline took, round by round."""
    data = inference()
    middle, outer = median(factors), [quantile(factors, 0.25), quantile(factors, 0.75)]
    timing = {"median": middle, "quartiles": outer, "samples": list(factors)}
    same = {"median": 1.0, "quartiles": [1.0, 1.0], "samples": [1.0] * len(factors)}
    ratio = {"ratio": middle, "ratio_quartiles": outer}
    data["measurements"]["latency"] |= {"subject": timing, "baseline": same, **ratio}
    data["environment"]["load"]["others"] = others
    return Record.model_validate(data)


def test_a_time_whose_quartiles_are_wide_says_so_and_is_on_no_axis() -> None:
    """Further apart than a tenth of the median."""
    latency = column("latency_ratio")
    steady, unsteady = rounds(1.8, 1.91, 2.0, 2.1, 2.2), rounds(1.8, 1.89, 2.0, 2.1, 2.2)
    assert (latency.text(steady), latency.comparable(steady)) == ("2.00x", 2.0)
    assert (latency.text(unsteady), latency.comparable(unsteady)) == ("2.00x (unsteady)", None)
    assert latency.text(rounds(1.0, 1.9, 2.0, 2.11, 2.2, others=0.5)) == "2.00x (busy, unsteady)"
    assert column("single_latency_ratio").text(unsteady) == "2.00x", "each time by its own rounds"
    assert column("quality").comparable(unsteady) == column("quality").value(unsteady)
