"""Cells of the training track on a tiny workload, measured in this process: on which images, with which random numbers,
and against which ceiling."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from actbench.budget import REFERENCE, Bits, Budget, Ceiling
from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, Method, Payload, floating, unsigned
from actbench.harness import training_step, warming
from actbench.harness.executors import CellResult
from actbench.harness.inference import run_cell
from actbench.harness.isolation.apart import computed_apart
from actbench.harness.outcome import Outcome, Progress
from actbench.harness.run import to_record
from actbench.harness.workbench import Workbench
from actbench.info import MethodInfo, WorkloadInfo
from actbench.measure.latency import interleaved
from actbench.records.parts.training import Training as TrainingPart
from actbench.registry import load_plugins
from actbench.settings import Training
from actbench.spec import CellSpec, MethodSpec, WorkloadSpec
from actbench.workloads.base import WorkloadSettings
from tests.harness.hostile import Toy

REGISTRY = load_plugins()
HERE = "tests.harness.test_training_cells"


def toy() -> Workbench:
    info = WorkloadInfo("toy", "Toy", f"{HERE}:Toy", f"{HERE}:toy", "top-1")
    return Workbench(Toy(WorkloadSettings()), info, torch.device("cpu"))


@pytest.fixture(scope="module")
def bench() -> Workbench:
    torch.set_num_threads(1)
    return toy()


def spec(info: MethodInfo, ceiling: str = "", steps: int = 3, seed: int = 0) -> CellSpec:
    return CellSpec(
        WorkloadSpec("toy", {"data": "x"}),
        MethodSpec(info.name, info.version, info.resolve({})),
        Budget(Ceiling.parse(f"traffic:{ceiling}"), Bits.parse("w32a2-8")) if ceiling else REFERENCE,
        Training(steps),
        seed,
    )


def measure(
    bench: Workbench,
    method: str | MethodInfo,
    ceiling: str = "",
    steps: int = 3,
    progress: Progress = lambda step, done, total: None,
) -> Outcome:
    info = REGISTRY.method(method) if isinstance(method, str) else method
    cell = spec(info, ceiling, steps)
    outcome = run_cell(bench, cell, info, progress)
    result = CellResult(cell, outcome.status, outcome.reason, "now", 1.0, outcome.to_json()["measurements"])
    assert to_record(result).reason == outcome.reason
    return outcome


def part(outcome: Outcome) -> TrainingPart:
    training = outcome.measurements.training
    assert training is not None, outcome
    return training


def test_what_is_measured_was_not_fitted_on(bench: Workbench) -> None:
    fitted = {image.numpy().tobytes() for image in bench.transfer_fitting(0).pixels}
    measured = {image.numpy().tobytes() for image in bench.transfer_measured.pixels}
    assert (len(fitted), len(measured)) == (64, 64)
    assert not fitted & measured


class Recording(Codec):
    """Tells which images it encodes."""

    def __init__(self, seen: list[Tensor]) -> None:
        super().__init__()
        self.seen = seen

    def __deepcopy__(self, memo: Any) -> "Recording":
        return Recording(self.seen)

    def encode(self, x: Tensor) -> Payload:
        self.seen.append(x[0].clone())
        return Payload(values=floating(x))

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"]


FITTED: list[Tensor] = []
ENCODED: list[Tensor] = []


class Looking(Method):
    """Looks at all that it may fit on."""

    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        FITTED.extend(stats.after.sample)
        return Recording(ENCODED)


def test_no_codec_is_measured_on_images_that_its_method_has_seen(bench: Workbench) -> None:
    info = MethodInfo("looking", "Looking", f"{HERE}:Looking", "1", tracks=("training",))
    before_training: list[Tensor] = []

    def progress(what: str, done: int, total: int) -> None:
        if what == "train":
            before_training.extend(ENCODED[:-2])  # the step that is done has encoded two maps

    measure(bench, info, "8x", 1, progress)
    assert len(FITTED) == 2 * 64
    assert len(before_training) > 2 * 10
    assert not any(torch.equal(one, other) for one in before_training for other in FITTED)


def with_rounds(monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    def timed(subject: Callable[[], object], baseline: Callable[[], object], **how: Any) -> object:
        for _ in range(rounds):
            subject()
        return interleaved(subject, baseline, **{**how, "rounds": 5})

    monkeypatch.setattr(training_step, "interleaved", timed)


@pytest.mark.parametrize("method", ["group-quantize", "subspace", "hosvd"])
def test_what_is_trained_does_not_depend_on_how_often_a_step_was_timed(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    found = []
    for rounds in (0, 7):
        with_rounds(monkeypatch, rounds)
        outcome = measure(bench, method, "6x")
        quality = outcome.measurements.quality
        assert quality is not None
        found.append((part(outcome).losses, part(outcome).gradients, quality.value))
    assert found[0] == found[1]


class Growing(Codec):
    """Stores another byte of each image each time that it encodes a batch in training."""

    def __init__(self, fmap: FeatureMap) -> None:
        super().__init__()
        self.shape = (fmap.channels, fmap.height, fmap.width)
        self.bytes = 0

    def encode(self, x: Tensor) -> Payload:
        self.bytes += 1
        return Payload(codes=unsigned(torch.zeros(len(x), self.bytes), 8))

    def decode(self, payload: Payload) -> Tensor:
        return torch.zeros(payload.batch, *self.shape)


class GrowingMaps(Method):
    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        return Growing(fmap)


def test_the_ceiling_holds_for_every_step_of_the_training(bench: Workbench) -> None:
    """Two maps of 512 values: 64x allows 64 bytes an image, and step n stores 2n."""
    info = MethodInfo("growing", "Growing", f"{HERE}:GrowingMaps", "1", tracks=("training",))
    short, long = measure(bench, info, "64x", 32), measure(bench, info, "64x", 33)
    assert part(short).limit_bytes == part(short).largest_payload_bytes == 64 * 64
    assert part(long).payload_bytes == part(short).payload_bytes < 64 * 64
    assert part(long).largest_payload_bytes == 64 * 66
    assert (short.status, long.status) == ("ok", "over_ceiling")
    assert long.reason == f"payloads of {64 * 66} bytes; {64 * 64} are allowed"


def test_the_mechanism_alone_saves_masks_and_loses_nothing(bench: Workbench) -> None:
    """Of a batch of 64 images 3×8×8 and two maps 8×8×8 each: the image, the maps, and a bit for each of their values,
    where torch keeps no more than the image and the maps. It trains to the same network."""
    alone, none = measure(bench, "mechanism"), measure(bench, "none")
    kept, values = part(alone), 64 * 2 * 8 * 64
    assert kept.payload_bytes == kept.reference_payload_bytes == 4 * values
    assert 0 <= kept.saved_bytes - (4 * 64 * 3 * 64 + 4 * values + values // 8) < 6000
    assert kept.limit_bytes is None
    assert kept.losses == pytest.approx(part(none).losses, rel=1e-5)
    assert part(none).saved_by_module != kept.saved_by_module
    assert all(gradient.cosine == pytest.approx(1.0) for gradient in kept.gradients)


def test_the_uncompressed_network_is_trained_once_for_each_number_of_steps_and_seed(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart: list[str] = []

    def computed(work: Callable[[int], None], what: str) -> int:
        apart.append(what)
        return computed_apart(work, what)

    monkeypatch.setattr(warming, "computed_apart", computed)
    for method, ceiling, steps, seed in [
        ("hosvd", "6x", 2, 5),
        ("hosvd", "8x", 2, 5),
        ("quantize", "6x", 2, 5),
        ("none", "", 2, 5),
        ("hosvd", "6x", 2, 6),
        ("hosvd", "6x", 1, 6),
    ]:
        warming.warm_up(bench, spec(REGISTRY.method(method), ceiling, steps, seed), 1)
    assert apart == ["the network trained as it is"] * 3
