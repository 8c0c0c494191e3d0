"""The table of a run on terminals of any width."""

import io

import pytest
from rich.console import Console

from actbench.cli.results import fitting_table, print_table, results_table
from actbench.cli.tables import whole_width
from actbench.info import Track
from actbench.records.columns import IN_TABLES, column
from actbench.records.record import Record
from tests.leaderboard.made_up import record

ROWS = [record("wavelet", value=81.5), record("a-long-name-of-a-method", value=79.25), record("b", value=None)]


def printed(records: list[Record], track: Track, width: int | None) -> str:
    table, _ = fitting_table(records, track, width)
    stream = io.StringIO()
    Console(file=stream, width=max(width or 0, whole_width(table))).print(table)
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_a_table_is_no_wider_than_the_terminal_and_no_number_is_cut(width: int) -> None:
    text = printed(ROWS, "inference", width)
    assert max(map(len, text.splitlines())) <= width
    assert "81.50 ± 1.00" in text
    assert "a-long-name-of-a-method" in text
    assert len(text.splitlines()) == 1 + len(ROWS)


def test_a_wider_terminal_has_more_columns_and_a_file_has_all() -> None:
    shown = [len(fitting_table(ROWS, "inference", width)[0].columns) for width in (60, 80, 100, 120, 1000)]
    assert shown == sorted(shown)
    assert shown[0] < shown[-1]
    table, left_out = fitting_table(ROWS, "inference", None)
    assert left_out == []
    assert len(table.columns) == len(results_table(ROWS, "inference").columns)
    assert {column(name).title for name in IN_TABLES["inference"]} - {"quality"} <= {
        str(one.header) for one in table.columns
    }


def test_the_narrowest_says_what_it_goes_without() -> None:
    table, left_out = fitting_table(ROWS, "inference", 1)
    assert [str(one.header) for one in table.columns] == ["method", "ceiling", "top-1 %", "status"]
    assert set(left_out) == set(IN_TABLES["inference"]) - {"quality"}


def test_training_has_columns_that_a_narrow_terminal_can_leave_out() -> None:
    _, left_out = fitting_table(ROWS, "training", 1)
    assert set(left_out) == set(IN_TABLES["training"]) - {"quality"}


def test_what_is_alike_in_all_rows_is_no_column_and_what_differs_is() -> None:
    def headings(rows: list[Record]) -> list[str]:
        return [str(one.header) for one in results_table(rows, "inference").columns][:3]

    assert headings([record("a"), record("b")]) == ["method", "ceiling", "top-1 %"]
    assert headings([record("a"), record("a", seed=1)]) == ["method", "ceiling", "seed"]


@pytest.mark.parametrize(("value", "said"), [(10.5, True), (11.5, False), (5.0, True), (90.0, False)])
def test_a_network_at_chance_is_said(value: float, said: bool, capsys: pytest.CaptureFixture[str]) -> None:
    print_table([record("none", "1x", value, 1024), record("a", value=5.0)])
    assert ("at chance" in capsys.readouterr().out) is said
