"""What cells share: calibration images and statistics by seed, one seed in memory at a time."""

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from actbench.budget import REFERENCE, Bits, Budget, Ceiling
from actbench.harness.inference import run_cell
from actbench.harness.warming import warm_up
from actbench.harness.workbench import Workbench
from actbench.registry import load_plugins
from actbench.spec import CellSpec, MethodSpec, WorkloadSpec
from actbench.workloads.base import CALIBRATION_IMAGES, WorkloadSettings

REGISTRY = load_plugins([Path(__file__).with_name("hostile.py")])


@pytest.fixture
def bench() -> Workbench:
    info = REGISTRY.workload("toy")
    return Workbench(REGISTRY.load(info.target)(WorkloadSettings()), info, torch.device("cpu"))


def test_seed_0_has_the_images_that_the_workload_chooses(bench: Workbench) -> None:
    expected = bench.workload.calibration_set().permuted(0)
    assert torch.equal(bench.calibration(0).pixels, expected.pixels)
    assert bench.calibration(0) is bench.calibration(0)


def test_other_seeds_draw_from_all_training_images(bench: Workbench) -> None:
    drawn = {seed: bench.calibration(seed) for seed in (1, 2, 1)}
    training = bench.workload.training_set().pixels.flatten(1)
    for images in drawn.values():
        assert len(images) == min(CALIBRATION_IMAGES, len(training))
        assert (images.pixels.flatten(1)[:, None] == training).all(2).any(1).all()
    assert not torch.equal(drawn[1].pixels, drawn[2].pixels)
    assert torch.equal(drawn[1].pixels, bench.calibration(1).pixels)


@pytest.mark.parametrize("transfer", [False, True])
def test_statistics_follow_the_seed_and_one_seed_is_kept(bench: Workbench, transfer: bool) -> None:
    shared = bench.maps["live"]
    statistics = shared.transfer_statistics if transfer else shared.statistics
    name = shared.network.maps[0].name
    samples = {seed: statistics(seed)[name].after.sample[:4].clone() for seed in (0, 1)}
    assert not torch.equal(samples[0], samples[1])
    kept = weakref.ref(statistics(1))
    assert torch.equal(statistics(0)[name].after.sample[:4], samples[0])
    gc.collect()
    assert kept() is None


def test_losses_are_on_the_images_of_the_seed(bench: Workbench) -> None:
    losses = [bench.planning(bench.network, seed).loss({}) for seed in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]


def test_the_reference_does_not_take_the_place_of_statistics(bench: Workbench) -> None:
    cell = CellSpec(WorkloadSpec("toy", {"data": "toy"}), MethodSpec("none", "1", {}), REFERENCE, seed=1)
    statistics = bench.maps["live"].statistics(1)
    warm_up(bench, cell, threads=1)
    assert bench.maps["live"].statistics(1) is statistics


def test_a_cell_is_planned_on_what_is_kept_of_its_seed(bench: Workbench) -> None:
    budget, info = Budget(Ceiling.parse("8x"), Bits.parse("w8a2-8")), REGISTRY.method("quantize")
    method = MethodSpec("quantize", info.version, info.resolve({}))
    cell = CellSpec(WorkloadSpec("toy", {"data": "toy"}), method, budget, seed=1, calibration=1)
    images, statistics = bench.calibration(1), bench.maps["live"].statistics(1)
    assert run_cell(bench, cell, info, lambda step, done, total: None).status == "ok"
    assert bench.calibration(1) is images
    assert bench.maps["live"].statistics(1) is statistics
    assert run_cell(bench, replace(cell, calibration=0), info, lambda step, done, total: None).status == "ok"
    assert bench.calibration(1) is not images
    assert bench.maps["live"].statistics(1) is not statistics
