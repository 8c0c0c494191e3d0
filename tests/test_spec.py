"""A cell's canonical form and its key."""

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actbench.budget import Bits, Budget, Ceiling
from actbench.settings import Inference, Training
from actbench.spec import CellSpec, MethodSpec, WorkloadSpec

KEYS = {1: "9697b1f08284a9a364ae", 2: "1d617b64b6e6bf5b5aa4"}
"""Of the fixed cell, by the protocol: other values would orphan every record that was ever written."""


def test_the_canonical_form_survives_json(cell: CellSpec) -> None:
    canonical = json.loads(json.dumps(cell.canonical()))
    assert canonical == cell.canonical()
    assert CellSpec.from_canonical(canonical) == cell
    assert CellSpec.from_canonical(canonical).key == cell.key


def test_the_key_is_for_ever(cell: CellSpec) -> None:
    assert {protocol: replace(cell, protocol=protocol).key for protocol in KEYS} == KEYS


def test_a_cell_from_before_there_was_a_choice_of_maps_is_of_what_convolutions_read(cell: CellSpec) -> None:
    old = {"recover": 0, "division": "closed", "track": "inference"}
    canonical = {key: value for key, value in replace(cell, protocol=1).canonical().items() if key not in old} | old
    read = CellSpec.from_canonical(canonical)
    assert read.settings == Inference(maps="conv-inputs")
    assert read.canonical() == canonical


def test_a_cell_from_before_seeds_drew_calibration_images_has_the_key_that_it_had(cell: CellSpec) -> None:
    assert "calibration" not in cell.canonical()
    assert CellSpec.from_canonical(cell.canonical()).calibration == 0
    assert replace(cell, calibration=7).canonical() == cell.canonical() | {"calibration": 7}


def test_the_order_of_options_and_digests_does_not_matter(cell: CellSpec) -> None:
    workload = replace(cell.workload, digests=dict(reversed(list(cell.workload.digests.items()))))
    method = replace(cell.method, options=dict(reversed(list(cell.method.options.items()))))
    turned = replace(cell, workload=workload, method=method)
    assert list(turned.method.options) != list(cell.method.options)
    assert turned.key == cell.key
    assert json.dumps(turned.canonical()) == json.dumps(cell.canonical())


CHANGES: dict[str, dict[str, Any]] = {
    "workload": {"workload": {"name": "cifar10"}},
    "a digest": {"workload": {"digests": {"weights": "aa11", "data": "cc33"}}},
    "another digest": {"workload": {"digests": {"weights": "aa11", "data": "bb22", "labels": "cc33"}}},
    "limit": {"workload": {"limit": 65}},
    "no limit": {"workload": {"limit": None}},
    "method": {"method": {"name": "wcc"}},
    "version": {"method": {"version": "3.1"}},
    "an option": {"method": {"options": {"rank": 5, "start": "pca", "shift": 0.5, "fold": True}}},
    "an option's type": {"method": {"options": {"rank": "4", "start": "pca", "shift": 0.5, "fold": True}}},
    "an option less": {"method": {"options": {"rank": 4, "start": "pca", "shift": 0.5}}},
    "kind of ceiling": {"budget": {"ceiling": Ceiling("peak", Fraction("2.5"))}},
    "ceiling": {"budget": {"ceiling": Ceiling("traffic", Fraction("2.500001"))}},
    "weights": {"budget": {"bits": Bits(4, 2, 8)}},
    "widths": {"budget": {"bits": Bits(8, 3, 8)}},
    "seed": {"seed": 8},
    "calibration": {"calibration": 7},
    "steps": {"settings": {"steps": 201}},
    "track": {"settings": Inference(200)},
    "closed": {"settings": Inference()},
    "last": {"settings": {"last": 4}},
    "normalisation": {"settings": {"normalisation": "exact"}},
    "recipe": {"settings": Inference(200, "paper")},
    "device": {"device": "cpu"},
    "maps": {"settings": Inference(200, maps="conv-inputs")},
    "protocol": {"protocol": 3},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_field_changes_the_key(cell: CellSpec, change: dict[str, Any]) -> None:
    fields = {
        name: replace(getattr(cell, name), **value) if isinstance(value, dict) else value
        for name, value in change.items()
    }
    changed = replace(cell, **fields)
    assert changed.key != cell.key
    assert CellSpec.from_canonical(changed.canonical()) == changed


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_hold_has_no_key(cell: CellSpec, value: float) -> None:
    with pytest.raises(ValueError):
        _ = replace(cell, method=replace(cell.method, options={"shift": value})).key


def test_recovery_opens_the_division(cell: CellSpec) -> None:
    assert (Inference(200).division, Inference().division, cell.settings.division) == ("open", "closed", "open")


texts = st.text(max_size=4)
option_values = st.booleans() | st.integers(2, 9) | st.floats(0.125, 0.875) | texts  # no two that Python calls equal


settings = st.builds(
    Inference, st.integers(1), st.sampled_from(["protocol", "paper"]), st.sampled_from(["live", "conv-inputs"])
) | st.builds(
    Training, st.integers(1), st.none() | st.integers(1), st.sampled_from(["quantised", "exact", "recomputed"])
)


@st.composite
def cells(draw: st.DrawFn) -> CellSpec:
    low, high = sorted([draw(st.integers(1, 16)), draw(st.integers(1, 16))])
    factor = Fraction(draw(st.integers(10**6, 10**8)), 10**6)
    return CellSpec(
        WorkloadSpec(draw(texts), draw(st.dictionaries(texts, texts, max_size=2)), draw(st.none() | st.integers(0))),
        MethodSpec(draw(texts), draw(texts), draw(st.dictionaries(texts, option_values, max_size=2))),
        Budget(
            Ceiling(draw(st.sampled_from(["peak", "traffic"])), factor),
            Bits(draw(st.integers(2, 16)), low, high),
        ),
        settings=draw(settings),
        seed=draw(st.integers()),
        device=draw(st.sampled_from(["cpu", "cuda"])),
        protocol=draw(st.integers(1)),
        calibration=draw(st.integers(0)),
    )


@given(cells(), cells(), st.data())
def test_cells_have_one_key_each(one: CellSpec, other: CellSpec, data: st.DataObject) -> None:
    # Two that differ in everything collide less easily than two that differ in one thing.
    names = ["workload", "method", "budget", "settings", "seed", "device", "protocol", "calibration"]
    name = data.draw(st.sampled_from(names))
    near = replace(one, **{name: getattr(other, name)})
    assert (near.key == one.key) == (near == one)
    assert (other.key == one.key) == (other == one)
    assert CellSpec.from_canonical(json.loads(json.dumps(one.canonical()))) == one
