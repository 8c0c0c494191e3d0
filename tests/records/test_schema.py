"""What a record may hold, and that what was written is what is read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from actbench.errors import UserError
from actbench.records.record import Record
from actbench.records.store import read_record, read_status
from actbench.spec import CellSpec

Make = Callable[..., Record]

QUALITY: dict[str, Any] = {
    "metric": "top-1",
    "unit": "%",
    "value": 81.25,
    "interval": (78.5, 84.0),
    "reference": 91.5,
    "difference": -10.25,
    "difference_interval": (-12.0, -8.5),
    "images": 2,
    "per_image": [81.0, 81.5],
}


def spread(value: int) -> dict[str, Any]:
    return {"mean": value - 0.5, "percentile_99": value - 0.01, "maximum": value, "samples": [value - 1, value]}


FOOTPRINT: dict[str, Any] = {
    "limit": 12800,
    "peak": spread(13000),
    "traffic": spread(13000),
    "reference_peak": 32000,
    "reference_traffic": 32000,
    "bits_per_value": 12.9995,
    "side_bits": 12.5,
    "static_bits": 640,
    "activations": {"peak": 1, "traffic": 2, "reference_peak": 3, "reference_traffic": 4},
    "live": {"peak": 1, "traffic": None, "reference_peak": 2, "reference_traffic": None},
    "maps": [
        {
            "name": "layer1.0.conv1",
            "channels": 10,
            "height": 10,
            "width": 10,
            "elements": 1000,
            "producer": "relu",
            "readers": ["layer1.0.conv1", "layer1.0.downsample"],
            "shared": True,
            "choices": {"rank": 4, "bits": 8, "start": "pca", "threshold": 0.25, "fold": True},
            "bits": spread(13000),
            "side_bits": 12.5,
            "static_bits": 640,
            "fallbacks": 3,
        }
    ],
}


def full(make: Make) -> Record:
    environment = {"versions": {"torch": "2.9"}, "machine": {"cores": 2, "memory": 1.5}, "revision": None}
    measurements = {"quality": QUALITY, "footprint": FOOTPRINT}
    return make(status="over_ceiling", reason="1000 bits", measurements=measurements, environment=environment)


def test_records_survive_json(make_record: Make) -> None:
    record = full(make_record)
    back = Record.model_validate_json(record.model_dump_json())
    assert back == record
    assert back.measurements.footprint is not None
    choices = back.measurements.footprint.maps[0].choices
    assert [type(value) for value in choices.values()] == [int, int, str, float, bool]


def test_a_record_knows_its_cell(make_record: Make, cell: CellSpec) -> None:
    assert full(make_record).cell == cell


def test_records_do_not_change(make_record: Make) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_record().status = "crash"


@pytest.mark.parametrize(
    "fields",
    [
        {"key": "0" * 20},
        {"key": "short"},
        {"status": "fine"},
        {"attempt": 0},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"format": 3},
        {"unknown": 1},
        {"spec": {}},
        {"measurements": {"quality": QUALITY | {"value": float("nan")}}},
        {"measurements": {"quality": QUALITY | {"interval": (1.0, float("inf"))}}},
        {"measurements": {"footprint": FOOTPRINT | {"peak": spread(1000) | {"samples": [-1]}}}},
    ],
    ids=lambda fields: repr(fields)[:40],
)
def test_what_no_record_holds(make_record: Make, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make_record(**fields)


def edited(text: str, *path: str, to: object) -> str:
    """The record with one value replaced."""
    data = json.loads(text)
    part = data
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = to
    return json.dumps(data)


DAMAGE: dict[str, Callable[[str], str | bytes]] = {
    "empty": lambda text: "",
    "truncated": lambda text: text[: len(text) // 2],
    "binary": lambda text: bytes(range(256)),
    "utf-16": lambda text: text.encode("utf-16"),
    "list": lambda text: f"[{text}]",
    "null": lambda text: "null",
    "nan": lambda text: edited(text, "seconds", to=float("nan")),
    "key": lambda text: edited(text, "key", to="0" * 20),
    "seed": lambda text: edited(text, "spec", "seed", to=8),
    "ceiling": lambda text: edited(text, "spec", "ceiling", to="none\nat all"),
    "bits": lambda text: edited(text, "spec", "bits", to="w8a99"),
    "no-number": lambda text: edited(text, "spec", "ceiling", to=8),
    "workload": lambda text: edited(text, "spec", "workload", to=["shapes"]),
    "options": lambda text: edited(text, "spec", "method", "options", to=[1, 2]),
    "more": lambda text: edited(text, "spec", "note", to="added"),
    "value": lambda text: edited(text, "measurements", "quality", "value", to="high"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_records_are_named_in_one_line(
    make_record: Make, damage: Callable[[str], str | bytes], tmp_path: Path
) -> None:
    path = tmp_path / "damaged-1.json"
    text = damage(full(make_record).model_dump_json())
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=r"damaged-1\.json") as caught:
        read_record(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_record_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        for read in (read_record, read_status):
            with pytest.raises(UserError, match=path.name) as caught:
                read(path)
            assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '"status"', '{"status"', "\x00\xff"])
def test_the_status_of_a_damaged_record(text: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged-1.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"damaged-1\.json") as caught:
        read_status(path)
    assert len(str(caught.value).splitlines()) == 1
