"""What a record claims beside what its repetition found."""

from collections.abc import Callable
from typing import Any

import pytest

from actbench.records.columns import column
from actbench.records.record import Record
from actbench.records.repetition import check_names, compare_measurements
from tests.records import whole
from tests.records.test_columns import rounds


def record(make: Callable[[], dict[str, Any]], **parts: Any) -> Record:
    data = make()
    data["measurements"] |= parts
    return Record.model_validate(data)


@pytest.mark.parametrize("make", [whole.inference, whole.training])
def test_a_record_that_predicts_nothing_is_read_and_claims_nothing_of_it(make: Callable[[], dict[str, Any]]) -> None:
    """As those from before memory on a GPU was predicted."""
    older, newer = record(make, predicted_memory=None), record(make)
    assert column("predicted_allocated_bytes").value(older) is None
    assert "allocated on a GPU" not in check_names(older)
    assert "allocated on a GPU" in check_names(newer)
    assert all(check.holds for check in compare_measurements(older, newer))


def test_what_was_claimed_and_is_not_measured_again_differs() -> None:
    found = compare_measurements(record(whole.inference), record(whole.inference, predicted_memory=None, memory=None))
    gone = {check.name for check in found if not check.holds}
    assert gone == {"memory", "memory in fp32", "memory, step by step", "allocated on a GPU"}


def test_the_reference_point_is_claimed_where_it_was_published() -> None:
    """Records of before it was kept claim none; of another one the areas of boards are others."""
    newer = record(whole.inference)
    older = record(whole.inference, quality=whole.quality() | {"reference_point": None})
    another = record(whole.inference, quality=whole.quality() | {"reference_point": 1.0})
    assert column("reference_point").value(newer) == 10
    assert column("reference_point").value(older) is None
    assert check_names(newer) - check_names(older) == {"reference point"}
    assert {check.name for check in compare_measurements(newer, another) if not check.holds} == {"reference point"}


@pytest.mark.parametrize("values", ["per_image", "pseudo_values"])
def test_what_images_contribute_is_claimed_where_it_was_kept(values: str) -> None:
    def of(*images: float) -> Record:
        kept = {"per_image": None, "value": 60.0, "difference": -40.0, values: list(images) or None}
        return record(whole.inference, quality=whole.quality() | {"unit": ""} | kept)

    published = of(50.0, 70.0)
    assert check_names(published) - check_names(of()) - {"interval of quality"} == {"values of images"}
    assert all(check.holds for check in compare_measurements(of(), published)), "of before it was kept"
    assert {check.name for check in compare_measurements(published, of(40.0, 80.0)) if not check.holds} == {
        "values of images"
    }
    assert not all(check.holds for check in compare_measurements(published, of()))


def test_what_is_predicted_is_in_columns() -> None:
    names = ["allocated_bytes", "reserved_bytes", "fragmentation", "batch_8_gib", "batch_80_gib"]
    values = [column(f"predicted_{name}").value(record(whole.training)) for name in names]
    assert values == [3 << 20, 4 << 20, 0.25, 80, 800]


STEADY, WIDE = (1.91, 1.96, 2.0, 2.04, 2.09), (1.0, 1.89, 2.0, 2.1, 9.0)
SLOWER, MUCH_SLOWER = (3.9, 3.95, 3.99, 4.0, 4.01), (4.1, 4.15, 4.2, 4.25, 4.3)


@pytest.mark.parametrize(
    ("published", "repeated", "holds", "unsteady"),
    [
        (STEADY, SLOWER, True, False),
        (STEADY, MUCH_SLOWER, False, False),
        (WIDE, STEADY, True, True),
        (STEADY, WIDE, True, True),
        (WIDE, MUCH_SLOWER, True, True),
    ],
)
def test_a_time_is_compared_where_both_are_steady(
    published: tuple[float, ...], repeated: tuple[float, ...], *, holds: bool, unsteady: bool
) -> None:
    found = {check.name: check for check in compare_measurements(rounds(*published), rounds(*repeated))}
    check = found[column("latency_ratio").title]
    assert (check.holds, check.unsteady) == (holds, unsteady)
    assert ("unsteady" in check.published + check.repeated) == unsteady
    assert not any(other.unsteady for other in found.values() if other != check)
