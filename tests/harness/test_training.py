"""Cells of the training track on a tiny workload: what is measured, and who is caught."""

import subprocess
import sys
from pathlib import Path

import pytest

from actbench.records.record import Record
from actbench.records.store import read_record

HOSTILE = Path(__file__).with_name("hostile.py")


def run(results: Path, methods: str, *more: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Record]]:
    base = [sys.executable, "-m", "actbench", "run", "--plugin", str(HOSTILE), "--workload", "toy", "--device", "cpu"]
    training = {"--track": "training", "--recover": "3", "--bits": "w32a2-8", "--results": str(results)}
    kept = [word for name, value in training.items() if name not in more for word in (name, value)]
    command = [*base, *kept, "--methods", methods, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = [read_record(path) for path in results.rglob("*.json")]
    return done, {record.cell.method.name: record for record in found}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    methods = "hosvd,svd,wcc,zvc,pca,greedy,remembering,understating,wrong-shape,not-a-number"
    done, records = run(tmp_path_factory.mktemp("results"), methods, "--ceilings", "6x")
    assert done.returncode == 1
    assert "peak of a step" in done.stdout
    return records


@pytest.mark.parametrize(
    ("method", "status", "reason"),
    [
        ("none", "ok", ""),
        ("mechanism", "ok", ""),
        ("quantize", "ok", ""),
        ("hosvd", "ok", ""),
        ("svd", "ok", ""),
        ("wcc", "ok", ""),
        ("zvc", "ok", ""),
        ("pca", "ok", ""),
        ("greedy", "unsupported", "no training track"),
        ("checkpoint", "ok", ""),
        ("offload", "unsupported", "for --device cuda"),
        ("memory-budget", "ok", ""),
        ("torch-fp8", "ok", ""),
        ("remembering", "invalid", "packed payload alone"),
        ("understating", "invalid", "claims 2 bits"),
        ("wrong-shape", "invalid", "decode gave"),
        ("not-a-number", "invalid", "not finite"),
    ],
)
def test_every_end_has_its_reason(measured: dict[str, Record], method: str, status: str, reason: str) -> None:
    assert measured[method].status == status, measured[method].reason
    assert reason in measured[method].reason


def test_what_is_saved_of_the_uncompressed_network(measured: dict[str, Record]) -> None:
    """A batch of 64 images 3×8×8: the image, the outputs of two ReLUs, and the head's input."""
    training = measured["none"].measurements.training
    assert training is not None
    maps = 2 * 8 * 64
    assert training.batch == 64
    assert training.reference_payload_bytes == 64 * 4 * maps
    assert training.saved_bytes == training.reference_saved_bytes
    assert 64 * 4 * (3 * 64 + maps) <= training.saved_bytes < 1.05 * 64 * 4 * (3 * 64 + maps)
    assert all(gradient.cosine == pytest.approx(1.0) for gradient in training.gradients)


@pytest.mark.parametrize("method", ["quantize", "hosvd", "svd", "wcc", "zvc", "pca"])
def test_the_ceiling_holds_and_memory_really_shrinks(measured: dict[str, Record], method: str) -> None:
    training = measured[method].measurements.training
    assert training is not None
    assert training.limit_bytes == 8 * (2 * 8 * 64 * 32 // 6)
    assert training.payload_bytes <= training.limit_bytes
    masks_and_image = 64 * (2 * 8 * 64 // 8 + 4 * 3 * 64)
    assert training.saved_bytes < training.payload_bytes + masks_and_image + 6000
    assert all(0 < gradient.cosine <= 1.00001 for gradient in training.gradients)
    assert len(training.losses) == 3
    assert training.encode_seconds is not None
    assert training.gradient_seconds is not None
    assert 0 < training.encode_seconds + training.gradient_seconds < 10 * training.step.subject.median


def test_checkpointing_is_exact_and_keeps_less(measured: dict[str, Record]) -> None:
    own, plain = (measured[name].measurements for name in ("checkpoint", "none"))
    assert own.training is not None
    assert plain.training is not None
    assert own.training.losses == plain.training.losses
    assert own.quality == plain.quality
    assert own.training.payload_bytes is None
    assert own.training.saved_bytes < plain.training.saved_bytes


def test_the_memory_of_a_gpu_is_that_of_a_step_beside_what_is_held(measured: dict[str, Record]) -> None:
    """Held are weights and biases of 864, 32, 2304, 32, 128 and 16 bytes and as much momentum, 64 images and targets,
    in blocks of multiples of 512 bytes; each of a step's tensors may take 511 more than it has."""
    held = 2 * (1024 + 512 + 2560 + 512 + 512 + 512) + 64 * 3 * 64 * 4 + 64 * 8
    for name in ("none", "quantize", "checkpoint"):
        training, predicted = measured[name].measurements.training, measured[name].measurements.predicted_memory
        assert training is not None
        assert predicted is not None
        assert predicted.batch == training.batch
        needed = held + training.peak_bytes
        assert needed <= predicted.allocated_bytes <= needed + 64 * 511
        assert predicted.allocated_bytes <= predicted.reserved_bytes
        fitting = list(predicted.largest_batch.values())
        assert fitting[3] == pytest.approx(10 * fitting[0], rel=0.01)


def test_the_uncompressed_batch_is_the_largest_in_its_own_peak(measured: dict[str, Record]) -> None:
    training = measured["none"].measurements.training
    assert training is not None
    assert training.largest_batch == training.batch


@pytest.mark.parametrize("normalisation", ["exact", "recomputed"])
def test_what_is_kept_of_normalisations_is_another_cell(tmp_path: Path, normalisation: str) -> None:
    done, records = run(tmp_path, "hosvd", "--ceilings", "4x", "--normalisation", normalisation)
    assert done.returncode == 0, done.stderr
    assert records["hosvd"].spec["normalisation"] == normalisation
    assert "normalisation" not in records["none"].spec


def test_only_the_last_layers(tmp_path: Path) -> None:
    done, records = run(tmp_path, "hosvd", "--ceilings", "4x,traffic:4x", "--last", "1")
    assert done.returncode == 0, done.stderr
    references = {"none", "mechanism", "checkpoint", "offload", "memory-budget", "torch-fp8"}
    assert set(records) == references | {"quantize", "hosvd"}
    training = records["hosvd"].measurements.training
    assert training is not None
    assert training.layers == ["4"]
    assert records["hosvd"].spec["last"] == 1
    assert records["hosvd"].spec["ceiling"] == "traffic:4x"
    assert [gradient.name for gradient in training.gradients] == ["4.weight"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--last", "0"], "write a number of convolutions"),
        (["--track", "inference", "--last", "2"], "goes with --track training"),
        (["--recover", "0"], "give a number of steps with --recover"),
        (["--track", "both"], "is not one of 'inference', 'training'"),
        (["--normalisation", "half"], "is not one of 'quantised', 'exact', 'recomputed'"),
        (["--track", "inference", "--normalisation", "exact"], "goes with --track training"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str], says: str) -> None:
    done, records = run(tmp_path, "hosvd", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert records == {}


def test_more_layers_than_there_are(tmp_path: Path) -> None:
    _, records = run(tmp_path, "hosvd", "--ceilings", "4x", "--last", "9")
    assert records["hosvd"].status == "unsupported"
    assert records["hosvd"].reason == "--last 9: the network has 3 convolutions"
