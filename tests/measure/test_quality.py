import time
from importlib import import_module
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import float64
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from actbench.measure.quality import paired_bootstrap
from actbench.workloads.torchvision_import import torchvision


def accuracy(means: Tensor) -> Tensor:
    return means[..., 0]


def mean_iou(means: Tensor) -> Tensor:
    classes = round(means.shape[-1] ** 0.5)
    confusion = means.unflatten(-1, (classes, classes))
    hits = confusion.diagonal(dim1=-2, dim2=-1)
    return (hits / (confusion.sum(-1) + confusion.sum(-2) - hits)).mean(-1)


def curved(means: Tensor) -> Tensor:
    return means.exp().sum(-1)


@pytest.fixture(scope="module")
def classification() -> ModuleType:
    torchvision()  # which torchmetrics imports, and which may need help
    return import_module("torchmetrics.functional.classification")


def correct(seed: int, images: int, truth: float, change: float = 0.0) -> tuple[Tensor, Tensor]:
    """0/1 statistics of a reference of accuracy `truth` and of a network that loses a share `change` of what it had."""
    draws = torch.rand(2, images, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    reference = draws[0] < truth
    return (reference & (draws[1] >= change)).double(), reference.double()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32))
def test_identical_inputs_differ_by_nothing(images: int, width: int, seed: int) -> None:
    statistics = torch.randn(images, width, generator=torch.Generator().manual_seed(seed))
    quality = paired_bootstrap(statistics, statistics.clone(), curved, resamples=50, seed=seed)
    assert quality.difference == 0
    assert quality.difference_interval == (0, 0)
    assert quality.value == quality.reference


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 60), st.integers(0, 2**32))
def test_swapping_the_networks_mirrors_the_difference(images: int, seed: int) -> None:
    ours, theirs = torch.rand(2, images, 1, generator=torch.Generator().manual_seed(seed))
    there = paired_bootstrap(ours, theirs, accuracy, resamples=99)
    back = paired_bootstrap(theirs, ours, accuracy, resamples=99)
    assert there.difference == pytest.approx(-back.difference, abs=1e-15)
    mirrored = (-back.difference_interval[1], -back.difference_interval[0])
    assert there.difference_interval == pytest.approx(mirrored, abs=1e-12)
    low, high = there.interval
    assert float(ours.min()) - 1e-12 <= low <= high <= float(ours.max()) + 1e-12


def test_equal_statistics_of_all_images_leave_no_doubt() -> None:
    quality = paired_bootstrap(torch.full((7, 1), 0.75), torch.full((7, 1), 0.5), accuracy, resamples=100)
    assert quality.interval == (0.75, 0.75)
    assert quality.difference_interval == (0.25, 0.25)
    assert quality.images == 7


def test_the_seed_decides_and_the_global_generator_stays() -> None:
    ours, theirs = correct(0, 200, 0.7, 0.1)
    before = torch.random.get_rng_state()
    first = paired_bootstrap(ours, theirs, accuracy, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.rand(3)
    assert paired_bootstrap(ours, theirs, accuracy, seed=1) == first
    assert paired_bootstrap(ours, theirs, accuracy, seed=2).interval != first.interval


def test_intervals_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = correct(0, 100, 0.7, 0.1)
    whole = paired_bootstrap(ours, theirs, accuracy, resamples=200)
    monkeypatch.setattr("actbench.measure.quality._CHUNK", 700)
    assert paired_bootstrap(ours, theirs, accuracy, resamples=200) == whole


def test_intervals_cover_the_truth_in_95_of_100() -> None:
    # 200 data sets: the share covered has a standard error of 1.5 %, and the tolerance is three of them.
    truth, change, sets = 0.8, 0.1, 200
    value = difference = 0
    for seed in range(sets):
        ours, theirs = correct(seed, 300, truth, change)
        quality = paired_bootstrap(ours, theirs, accuracy, resamples=500, seed=seed)
        value += quality.interval[0] <= truth * (1 - change) <= quality.interval[1]
        difference += quality.difference_interval[0] <= -truth * change <= quality.difference_interval[1]
    assert value / sets == pytest.approx(0.95, abs=0.045)
    assert difference / sets == pytest.approx(0.95, abs=0.045)


def test_agrees_with_scipy() -> None:
    generator = torch.Generator().manual_seed(0)
    theirs = torch.rand(80, 1, generator=generator, dtype=torch.float64)
    ours = theirs**2 + 0.1 * torch.rand(80, 1, generator=generator, dtype=torch.float64)

    def squares(a: NDArray[float64], b: NDArray[float64], axis: int) -> NDArray[float64]:
        return a.mean(axis) ** 2 - b.mean(axis) ** 2

    expected = stats.bootstrap(
        (ours[:, 0].numpy(), theirs[:, 0].numpy()),
        squares,
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=20_000,
        random_state=0,
    )
    quality = paired_bootstrap(ours, theirs, lambda means: means[..., 0] ** 2, resamples=20_000)
    # A 2.5 % quantile of 20,000 normal resamples has a standard error of about 0.02 standard deviations.
    tolerance = 0.1 * float(expected.standard_error)
    assert quality.difference_interval == pytest.approx(tuple(expected.confidence_interval), abs=tolerance)


def test_pairing_narrows_the_difference() -> None:
    ours, theirs = correct(0, 500, 0.7, 0.02)
    shuffled = theirs[torch.randperm(500, generator=torch.Generator().manual_seed(0))]
    paired = paired_bootstrap(ours, theirs, accuracy).difference_interval
    unpaired = paired_bootstrap(ours, shuffled, accuracy).difference_interval
    assert paired[1] - paired[0] < 0.5 * (unpaired[1] - unpaired[0])


def test_accuracy_is_that_of_torchmetrics(classification: ModuleType) -> None:
    logits = torch.randn(50, 10, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 10
    statistics = (logits.argmax(1) == labels)[:, None]
    expected = classification.multiclass_accuracy(logits, labels, num_classes=10, average="micro")
    quality = paired_bootstrap(statistics, torch.ones_like(statistics), accuracy, resamples=10)
    assert quality.value == pytest.approx(float(expected))
    assert quality.difference == pytest.approx(float(expected) - 1)


def test_mean_iou_is_that_of_torchmetrics(classification: ModuleType) -> None:
    predicted, labels = torch.randint(5, (2, 20, 8, 8), generator=torch.Generator().manual_seed(0))
    cells = labels.flatten(1) * 5 + predicted.flatten(1)
    statistics = torch.stack([cell.bincount(minlength=25) for cell in cells])
    expected = classification.multiclass_jaccard_index(predicted, labels, num_classes=5)
    quality = paired_bootstrap(statistics, statistics, mean_iou, resamples=100)
    assert quality.value == pytest.approx(float(expected))
    assert quality.interval[0] < quality.value < quality.interval[1]


def test_ten_thousand_images_take_seconds_at_most() -> None:
    ours, theirs = correct(0, 10_000, 0.9, 0.02)
    begin = time.perf_counter()
    paired_bootstrap(ours, theirs, accuracy)
    assert time.perf_counter() - begin < 5  # a fraction of a second on an idle machine


@pytest.mark.parametrize(
    ("ours", "theirs", "resamples"),
    [
        (torch.ones(3, 1), torch.ones(4, 1), 10),
        (torch.ones(3, 1), torch.ones(3, 2), 10),
        (torch.ones(3), torch.ones(3), 10),
        (torch.ones(0, 1), torch.ones(0, 1), 10),
        (torch.ones(3, 0), torch.ones(3, 0), 10),
        (torch.ones(3, 1), torch.ones(3, 1), 0),
        (torch.tensor([[1.0], [float("nan")]]), torch.ones(2, 1), 10),
        (torch.ones(2, 1), torch.tensor([[1.0], [float("inf")]]), 10),
    ],
)
def test_refuses_what_cannot_be_compared(ours: Tensor, theirs: Tensor, resamples: int) -> None:
    with pytest.raises(ValueError, match=r"statistics|resample"):
        paired_bootstrap(ours, theirs, accuracy, resamples=resamples)


def test_of_a_mean_no_contributions_are_kept() -> None:
    ours, theirs = correct(0, 200, 0.8, 0.1)
    assert (
        paired_bootstrap(ours, theirs, lambda means: 100 * accuracy(means), unit="%", resamples=10).pseudo_values
        is None
    )


def test_contributions_of_images_are_what_leaving_each_out_says() -> None:
    """Of a mean IoU; compared in pairs they tell as much as the paired bootstrap."""
    generator = torch.Generator().manual_seed(4)
    counts = torch.randint(1, 50, (60, 9), generator=generator).double()
    worse = counts + torch.randint(0, 9, (60, 9), generator=generator) * (1 - torch.eye(3)).flatten()
    first, second = (paired_bootstrap(of, counts, mean_iou) for of in (worse, counts))
    expected = [
        60 * float(mean_iou(worse.mean(0))) - 59 * float(mean_iou(torch.cat([worse[:i], worse[i + 1 :]]).mean(0)))
        for i in range(60)
    ]
    assert first.pseudo_values == pytest.approx(expected)
    assert first.pseudo_values is not None
    assert second.pseudo_values is not None
    error = stats.sem([one - other for one, other in zip(first.pseudo_values, second.pseudo_values, strict=True)])
    low, high = first.difference_interval
    assert 2 * 1.96 * error == pytest.approx(high - low, rel=0.1)


def test_where_an_image_cannot_be_left_out_nothing_is_kept() -> None:
    """The only one, and the only one that has what the metric divides by."""
    assert paired_bootstrap(torch.ones(1, 9), torch.ones(1, 9), mean_iou, resamples=5).pseudo_values is None
    only = torch.tensor([[1.0, 1.0], [1.0, 0.0], [2.0, 0.0]])
    quality = paired_bootstrap(only, only, lambda means: means[..., 1] / means[..., 1], resamples=1)
    assert (quality.value, quality.pseudo_values) == (1, None)
