"""Records of format 1 are read as if they had been written today, and so are the marks beside them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actbench.errors import UserError
from actbench.records.record import FORMAT, Record
from actbench.records.store import read_record
from actbench.records.verification import beside, digest, read_verification
from tests.leaderboard.made_up import footprint, quality, record

SAMPLES = [1.0, 0.0, 1.0, 1.0]
CHECKS = ["protocol", "version of wavelet", "digest of data", "status", "quality", "latency, ratio"]
"""What a verification compared then."""


def written_in_format_1(folder: Path, **layout: Any) -> Path:
    """A record with its arrays as lists, and its mark, as version 0.1 wrote them."""
    measured = {"quality": quality(75.0, 25.0) | {"per_image": SAMPLES, "images": 4}, "footprint": footprint(128, 128)}
    made = record("wavelet", measurements=measured)
    data = json.loads(made.model_dump_json(context={"plain": True})) | {"format": 1}
    compact = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    path = folder / made.file_name
    path.write_text(json.dumps(data, ensure_ascii=False, **layout))
    mark = {
        "format": 1,
        "record": hashlib.sha256(compact.encode()).hexdigest(),
        "when": "2025-02-03T00:00:00+00:00",
        "checks": [{"name": name, "published": "1", "repeated": "1", "holds": True} for name in CHECKS],
        "environment": {"versions": {}, "machine": {"cpu": "one"}, "revision": None},
    }
    beside(path).write_text(json.dumps(mark))
    return path


@pytest.mark.parametrize("layout", [{"separators": (",", ":")}, {"indent": 1}], ids=["leaderboard", "results"])
def test_a_record_and_its_mark(tmp_path: Path, layout: dict[str, Any]) -> None:
    path = written_in_format_1(tmp_path, **layout)
    read = read_record(path)
    assert read.format == FORMAT
    assert read.measurements.quality is not None
    assert read.measurements.quality.per_image == SAMPLES
    verification = read_verification(path, read)
    assert verification is not None
    assert verification.record == digest(read)


def test_the_mark_of_another_record_does_not_hold(tmp_path: Path) -> None:
    path = written_in_format_1(tmp_path, indent=1)
    data = json.loads(path.read_text())
    data["seconds"] = 99.0
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match="of another record"):
        read_verification(path, read_record(path))


def test_a_format_that_is_not_known(tmp_path: Path) -> None:
    path = written_in_format_1(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(UserError, match="format"):
        read_record(path)


def test_the_digest_is_of_the_content_alone(make_record: Callable[..., Record]) -> None:
    made = make_record()
    assert digest(made) == digest(made.model_copy(update={"attempt": 7}))
    assert digest(made) != digest(made.model_copy(update={"seconds": 99.0}))
    assert digest(Record.model_validate_json(made.model_dump_json())) == digest(made)


def test_every_published_record_can_be_read_with_its_mark() -> None:
    published = Path(__file__).parents[2] / "leaderboards" / "records"
    paths = [path for path in published.rglob("*.json") if not path.name.endswith(".verified.json")]
    records = {path: read_record(path) for path in paths}
    marked = [path for path in paths if beside(path).exists()]
    assert len(marked) >= 200
    for path in marked:
        assert read_verification(path, records[path]) is not None, path
