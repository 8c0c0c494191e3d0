"""Records that are of the right form and say what cannot be: each is refused, in one line that names the field."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actbench.errors import UserError
from actbench.records.store import is_record, read_record
from actbench.spec import CellSpec
from tests.records import whole

Change = Callable[[dict[str, Any]], Any]
PUBLISHED = Path(__file__).parents[2] / "leaderboards" / "records"


@pytest.mark.parametrize("make", [whole.inference, whole.training])
def test_a_whole_record_is_read(make: Callable[[], dict[str, Any]], tmp_path: Path) -> None:
    record = read_record(whole.written(make(), tmp_path))
    assert record.status == "ok"
    assert record.environment is not None
    assert str(record.environment.plugin) == f"actbench 3, source {'ab' * 32}"


@pytest.mark.slow
def test_every_published_record_is_what_it_implies() -> None:
    assert len([read_record(path) for path in PUBLISHED.rglob("*.json") if is_record(path)]) >= 320


def to(*path: Any, value: Any) -> Change:
    return lambda data: whole.at(data, "measurements", *path, to=value)


def several(*changes: Change) -> Change:
    def change(data: dict[str, Any]) -> None:
        for one in changes:
            one(data)

    return change


def accuracy(value: float) -> Change:
    """A value with all that is beside it, but not the images."""
    quality = {"value": value, "interval": [value, value], "difference": value - 100, "difference_interval": [-100, 99]}
    return several(*(to("quality", name, value=one) for name, one in quality.items()))


def over_the_ceiling(data: dict[str, Any]) -> None:
    """A map of two times the bits, and all sums with it."""
    measured = data["measurements"]["footprint"]
    measured["maps"][0]["bits"] = measured["peak"] = whole.spread(200, 240)
    measured["traffic"] = whole.spread(240, 290)
    measured["bits_per_value"] = 265 / 48
    measured["activations"] |= {"peak": 240, "traffic": 290}


def dropped(name: str) -> Change:
    def change(data: dict[str, Any]) -> None:
        del data["measurements"][name]

    return change


def another_cell(**more: Any) -> Change:
    """Fields of the spec, with the key that belongs to them."""

    def change(data: dict[str, Any]) -> None:
        data["spec"] |= more
        data["key"] = CellSpec.from_canonical(data["spec"]).key

    return change


INFERENCE: dict[str, tuple[Change, str]] = {
    "an accuracy of 250 %": (several(to("quality", "per_image", value=None), accuracy(250.0)), "interval is not"),
    "an accuracy below 0 %": (several(to("quality", "per_image", value=None), accuracy(-1.0)), "interval is not"),
    "an accuracy that images do not have": (accuracy(75.0), "value is 75"),
    "a difference of its own": (to("quality", "difference", value=-1.0), "difference is -1"),
    "a reference above 100 %": (to("quality", "reference", value=101.0), "quality"),
    "contributions of other images": (
        several(to("quality", "per_image", value=None), to("quality", "pseudo_values", value=[50.0])),
        "images is 2",
    ),
    "contributions to another value": (
        several(to("quality", "interval", value=[45.0, 55.0]), to("quality", "pseudo_values", value=[0.0, 10.0])),
        "pseudo_values have a mean of 5.0",
    ),
    "a reference point below 0 %": (to("quality", "reference_point", value=-1.0), "reference_point is not"),
    "an interval beside the value": (to("quality", "interval", value=[60.0, 70.0]), "outside of its interval"),
    "an interval that falls": (to("quality", "interval", value=[100.0, 0.0]), "its ends fall"),
    "a difference outside of its interval": (to("quality", "difference_interval", value=[-2, 0]), "difference -50"),
    "more images than values": (to("quality", "images", value=2000), "images is 2000"),
    "no image": (to("quality", "images", value=0), "images"),
    "a status that hides the ceiling": (over_the_ceiling, "status is ok"),
    "a status that invents it": (lambda data: data.update(status="over_ceiling"), "status is over_ceiling"),
    "a limit of its own": (several(over_the_ceiling, to("footprint", "limit", value=1024)), "limit is 1024"),
    "blocks beyond their segments": (to("predicted_memory", "reserved_bytes", value=5), "blocks lie in segments"),
    "no limit": (several(over_the_ceiling, to("footprint", "limit", value=None)), "limit is missing"),
    "no footprint": (dropped("footprint"), "was not measured"),
    "a smaller peak": (to("footprint", "peak", value=whole.spread(50, 60)), "peak.maximum is 60"),
    "a smaller traffic": (to("footprint", "traffic", value=whole.spread(110, 119)), "not between"),
    "another traffic": (to("footprint", "traffic", value=whole.spread(139, 170)), "traffic.samples"),
    "peaks of other images": (to("footprint", "peak", value=whole.spread(120, 100)), "peak.samples"),
    "a mean above the maximum": (to("footprint", "maps", 0, "bits", "mean", value=121), "mean is 121"),
    "samples that are left out": (to("footprint", "maps", 0, "bits", "samples", value=None), "samples"),
    "samples of one image": (
        several(to("quality", "per_image", value=None), to("quality", "images", value=3)),
        "samples of 2 images",
    ),
    "a lower percentile": (to("footprint", "traffic", "percentile_99", value=150.0), "percentile_99 is 150"),
    "fewer bits a value": (to("footprint", "bits_per_value", value=1.0), "bits_per_value is 1.0"),
    "a larger map": (to("footprint", "maps", 0, "elements", value=64), "elements is 64"),
    "a larger map in fp32": (to("footprint", "reference_peak", value=4096), "reference_peak is 4096"),
    "more traffic in fp32": (to("footprint", "reference_traffic", value=4096), "reference_traffic is 4096"),
    "less side information": (to("footprint", "side_bits", value=0.0), "side_bits is 0"),
    "fewer tables": (to("footprint", "static_bits", value=0), "static_bits is 0"),
    "more side information than bits": (to("footprint", "maps", 0, "side_bits", value=1e3), "more than all"),
    "one map twice": (to("footprint", "maps", 1, "name", value="conv1"), "two have one name"),
    "no map": (to("footprint", "maps", value=[]), "maps"),
    "a negative count": (to("footprint", "static_bits", value=-1), "static_bits"),
    "a count beyond all": (to("compute", "macs", value=10**400), "macs"),
    "a negative latency": (to("latency", "ratio", value=-0.5), "ratio"),
    "a faster ratio": (to("latency", "ratio", value=1.0), "ratio is 1.0"),
    "a ratio outside of its quartiles": (to("latency", "ratio_quartiles", value=[0.5, 0.6]), "ratio_quartiles"),
    "a median of its own": (to("latency", "subject", "median", value=0.1), "median is 0.1"),
    "a round that took no time": (to("latency", "subject", "samples", 0, value=0.0), "samples"),
    "a round less": (to("latency", "baseline", value=whole.timing(1.0) | {"samples": [0.5]}), "quartiles"),
    "no rounds": (to("latency", "subject", "samples", value=[]), "samples are missing"),
    "decoding in no time": (to("latency", "decode", value=-1.0), "decode"),
    "a recovery of other steps": (to("recovery", "losses", value=[1.0]), "losses is 1"),
    "a record from before it started": (lambda data: data.update(seconds=-1.0), "seconds"),
    "another ceiling": (another_cell(ceiling="16x"), "limit is 128"),
    "a seed that is a word": (another_cell(seed="best"), "the spec is damaged"),
    "a limit that is a word": (another_cell(workload={"name": "toy", "digests": {}, "limit": "all"}), "the spec is"),
    "a device of its own": (another_cell(device="tpu"), "the spec is damaged"),
    "steps that are a word": (another_cell(recover="two"), "the spec is damaged"),
}
TRAINING: dict[str, tuple[Change, str]] = {
    "payloads over the ceiling": (to("training", "payload_bytes", value=193), "status is ok"),
    "no payloads": (to("training", "payload_bytes", value=None), "payloads were not measured"),
    "a limit of its own": (to("training", "limit_bytes", value=400), "limit_bytes is 400"),
    "no limit": (to("training", "limit_bytes", value=None), "limit_bytes is missing"),
    "fewer bytes saved": (to("training", "saved_bytes", value=1), "saved_bytes is 1"),
    "a cosine above 1": (to("training", "gradients", 0, "cosine", value=1.5), "cosine"),
    "a negative error": (to("training", "gradients", 0, "relative_error", value=-0.5), "relative_error"),
    "a faster step": (to("training", "step", "ratio", value=0.5), "ratio is 0.5"),
    "a step of another batch": (to("training", "step", "batch", value=8), "step.batch is 8"),
    "other steps than it says": (to("training", "losses", value=[1.0]), "losses is 1"),
    "no training": (dropped("training"), "was not measured"),
    "a ceiling of the largest map": (another_cell(ceiling="4x"), "no largest map"),
}


def refused(data: dict[str, Any], change: Change, says: str, folder: Path) -> None:
    change(data)
    path = whole.written(data, folder)
    with pytest.raises(UserError) as caught:
        read_record(path)
    assert path.name in str(caught.value)
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("change", "says"), INFERENCE.values(), ids=INFERENCE)
def test_a_forged_record_of_inference(change: Change, says: str, tmp_path: Path) -> None:
    refused(whole.inference(), change, says, tmp_path)


@pytest.mark.parametrize(("change", "says"), TRAINING.values(), ids=TRAINING)
def test_a_forged_record_of_training(change: Change, says: str, tmp_path: Path) -> None:
    refused(whole.training(), change, says, tmp_path)


@pytest.mark.parametrize(("threads", "read"), [(2, 2), ("many", None), (0, None), (-1, None), (2.5, None)])
def test_threads_that_no_machine_has_are_not_asked_for(threads: object, read: int | None, tmp_path: Path) -> None:
    data = whole.at(whole.inference(), "environment", "machine", "threads", to=threads)
    environment = read_record(whole.written(data, tmp_path)).environment
    assert environment is not None
    assert environment.threads == read


def test_a_score_that_is_no_mean_may_be_biased(tmp_path: Path) -> None:
    """Bootstrapping a mean IoU of few images shifts it: the value may be beside the interval, within its width."""
    data = whole.inference()
    data["measurements"]["quality"] |= {"per_image": None, "interval": [51.0, 60.0]}
    assert read_record(whole.written(data, tmp_path)).status == "ok"
