"""Metrics of the tasks, against torchmetrics on all images together and alone."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from actbench.errors import UserError
from actbench.workloads.base import Metric
from actbench.workloads.own.description import Description
from actbench.workloads.own.metrics import metric_of
from actbench.workloads.torchvision_import import torchvision

torchvision()  # which torchmetrics imports
oracle = import_module("torchmetrics.functional.classification")
errors = import_module("torchmetrics.functional.regression")
images = import_module("torchmetrics.functional.image")

CLASSES = 5


def metric(task: str, name: str, **more: object) -> Metric:
    values = {"model": "nets.py:net", "task": task, "data": "data", "metric": name}
    return metric_of(Description.from_json(values | more))[0]


def value(of: Metric, outputs: Tensor, targets: Tensor) -> float:
    """The score over all images, from statistics computed in two batches."""
    statistics = torch.cat([of.per_image(outputs[:3], targets[:3]), of.per_image(outputs[3:], targets[3:])])
    assert statistics.dtype == torch.float64
    return float(of.score(statistics.mean(0)))


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_mean_iou(random: torch.Generator) -> None:
    outputs = torch.randn(8, CLASSES, 6, 7, generator=random)
    outputs[:, 4] = -9
    targets = torch.randint(0, CLASSES - 1, (8, 6, 7), generator=random)
    targets[torch.rand(targets.shape, generator=random) < 0.1] = 255
    expected = oracle.jaccard_index(outputs.argmax(1), targets, "multiclass", num_classes=CLASSES, ignore_index=255)
    assert value(metric("segmentation", "mean-iou"), outputs, targets.byte()) == pytest.approx(100 * float(expected))


def test_a_class_that_is_ignored_may_be_predicted_elsewhere(random: torch.Generator) -> None:
    outputs = torch.randn(8, CLASSES, 6, 7, generator=random)
    targets = torch.randint(0, CLASSES, (8, 6, 7), generator=random)
    expected = 100 * _counted(outputs, targets, 2)
    assert value(metric("segmentation", "mean-iou", ignore=2), outputs, targets.byte()) == pytest.approx(expected)


def _counted(outputs: Tensor, targets: Tensor, ignore: int) -> float:
    """By hand: of a class that is ignored in the labels, what is predicted elsewhere counts against it."""
    counted = targets != ignore
    predicted, labels = outputs.argmax(1)[counted], targets[counted]
    ious = []
    for c in range(CLASSES):
        union = int(((predicted == c) | (labels == c)).sum())
        if union:
            ious.append(int(((predicted == c) & (labels == c)).sum()) / union)
    return sum(ious) / len(ious)


def test_pixel_accuracy(random: torch.Generator) -> None:
    outputs = torch.randn(8, CLASSES, 6, 7, generator=random)
    targets = torch.randint(0, CLASSES, (8, 6, 7), generator=random)
    targets[:2, :4] = 255
    expected = oracle.accuracy(outputs, targets, "multiclass", num_classes=CLASSES, ignore_index=255, average="micro")
    assert value(metric("segmentation", "pixel-accuracy"), outputs, targets.byte()) == pytest.approx(
        100 * float(expected)
    )


def test_one_output_stands_for_two_classes(random: torch.Generator) -> None:
    outputs = torch.randn(8, 1, 6, 7, generator=random)
    targets = torch.randint(0, 2, (8, 6, 7), generator=random)
    expected = oracle.jaccard_index((outputs[:, 0] > 0).long(), targets, "multiclass", num_classes=2)
    assert value(metric("segmentation", "mean-iou"), outputs, targets.byte()) == pytest.approx(100 * float(expected))


def test_top_5(random: torch.Generator) -> None:
    outputs, targets = torch.randn(40, 9, generator=random), torch.randint(0, 9, (40,), generator=random)
    expected = oracle.accuracy(outputs, targets, "multiclass", num_classes=9, top_k=5, average="micro")
    assert value(metric("classification", "top-5"), outputs, targets) == pytest.approx(100 * float(expected))


def test_psnr_and_ssim_are_means_over_images(random: torch.Generator) -> None:
    clean = torch.randint(0, 256, (6, 3, 24, 20), generator=random).byte()
    outputs = (clean / 255 + 0.05 * torch.randn(clean.shape, generator=random)).clamp(0, 1)
    pairs = list(zip(outputs[:, None], (clean / 255)[:, None], strict=True))
    psnr = [float(images.peak_signal_noise_ratio(ours, theirs, data_range=1.0)) for ours, theirs in pairs]
    ssim = [float(images.structural_similarity_index_measure(ours, theirs, data_range=1.0)) for ours, theirs in pairs]
    assert value(metric("restoration", "psnr"), outputs, clean) == pytest.approx(sum(psnr) / 6, rel=1e-5)
    assert value(metric("restoration", "ssim"), outputs, clean) == pytest.approx(sum(ssim) / 6, rel=1e-4)
    assert value(metric("restoration", "psnr"), clean / 255, clean) == pytest.approx(100), "of equal images"


def test_errors_of_numbers(random: torch.Generator) -> None:
    outputs, targets = (torch.randn(9, 4, generator=random) for _ in range(2))
    for name, expected in (("mae", errors.mean_absolute_error), ("mse", errors.mean_squared_error)):
        assert value(metric("regression", name), outputs, targets) == pytest.approx(float(expected(outputs, targets)))
    single = metric("regression", "mae")
    assert value(single, outputs[:, 0], targets[:, :1]) == pytest.approx(float((outputs - targets)[:, 0].abs().mean()))


def test_depths_count_where_they_are_known(random: torch.Generator) -> None:
    targets = 1 + 9 * torch.rand(5, 4, 6, generator=random)
    outputs = targets[:, None] * (0.5 + torch.rand(5, 1, 4, 6, generator=random))
    targets[:, 0] = 0
    known = targets > 0
    relative, near = [], []
    for ours, theirs, some in zip(outputs[:, 0].double(), targets.double(), known, strict=True):
        relative.append(float(((ours - theirs).abs() / theirs)[some].mean()))
        near.append(float((torch.maximum(ours / theirs, theirs / ours)[some] < 1.25).double().mean()))
    assert value(metric("depth", "abs-rel"), outputs, targets) == pytest.approx(sum(relative) / 5, rel=1e-5)
    assert value(metric("depth", "delta-1.25"), outputs, targets) == pytest.approx(20 * sum(near))
    assert value(metric("depth", "delta-1.25"), -outputs, targets) == 0, "a depth below 0 is not near"


def test_a_metric_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quality.py").write_text(
        "def worst(outputs, targets):\n    return (outputs - targets).abs().flatten(1).amax(1)\n"
        "worst.unit = 'm'\nworst.higher_is_better = False\n"
        "def wrong(outputs, targets):\n    return outputs.mean()\n"
        "def raises(outputs, targets):\n    raise KeyError('depth')\n"
    )
    monkeypatch.chdir(tmp_path)
    values = {"model": "nets.py:net", "task": "regression", "data": "data"}
    own, words = metric_of(Description.from_json(values | {"metric": "quality.py:worst"}))
    outputs, targets = torch.tensor([[1.0, 5.0], [2.0, 2.0]]), torch.tensor([[2.0, 2.0], [2.0, 2.5]])
    assert (words.name, words.unit, words.better) == ("worst", "m", "less")
    assert own.per_image(outputs, targets).tolist() == [[3.0], [0.5]]
    assert float(own.score(own.per_image(outputs, targets).mean(0))) == 1.75
    with pytest.raises(UserError, match=r"give numbers \(batch,\)"):
        metric("regression", "quality.py:wrong").per_image(outputs, targets)
    with pytest.raises(UserError, match=r"KeyError: 'depth' \(quality.py:8\)"):
        metric("regression", "quality.py:raises").per_image(outputs, targets)
    with pytest.raises(UserError, match="has no 'none'"):
        metric("regression", "quality.py:none")


def test_a_metric_that_the_task_has_not() -> None:
    with pytest.raises(UserError, match="regression has mae, mse; or write"):
        metric("regression", "psnr")


LIBRARY = [
    ("classification", "MulticlassF1Score:num_classes=4,average=macro", (40, 4), (40,)),
    ("segmentation", "MulticlassJaccardIndex:num_classes=4", (6, 4, 5, 7), (6, 5, 7)),
    ("regression", "R2Score", (30, 1), (30,)),
    ("restoration", "MeanSquaredError:squared=false", (5, 3, 8, 8), (5, 3, 8, 8)),
]


@pytest.mark.parametrize(("task", "name", "given", "wanted"), LIBRARY)
def test_a_metric_of_the_library_by_its_name(
    task: str, name: str, given: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    """By image, and on all images together as the library computes it, also of any of them as often as may be."""
    torch.manual_seed(0)
    outputs, targets = torch.rand(given), torch.randint(256 if task == "restoration" else 4, wanted)
    oracles: dict[str, Any] = {
        "classification": lambda chosen: oracle.multiclass_f1_score(outputs[chosen], targets[chosen], 4, "macro"),
        "segmentation": lambda chosen: oracle.multiclass_jaccard_index(
            outputs[chosen], targets[chosen], 4, ignore_index=3
        ),
        "regression": lambda chosen: errors.r2_score(outputs[chosen, 0], targets[chosen].float()),
        "restoration": lambda chosen: errors.mean_squared_error(outputs[chosen], targets[chosen] / 255, squared=False),
    }
    ours = metric(task, f"torchmetrics:{name}", **({"ignore": 3} if task == "segmentation" else {}))
    stored = targets.float() if task == "regression" else targets.byte()
    statistics = ours.per_image(outputs, stored)
    for chosen in (torch.arange(len(outputs)), torch.randint(len(outputs), (len(outputs),))):
        assert float(ours.score(statistics[chosen].mean(0))) == pytest.approx(float(oracles[task](chosen)), rel=1e-5)
    assert ours.score(statistics.mean(0).expand(2, 3, -1)).shape == (2, 3)


def test_which_of_less_is_better_and_what_is_no_sum_is_said() -> None:
    values = {"model": "nets.py:net", "task": "regression", "data": "data"}
    words = metric_of(Description.from_json(values | {"metric": "torchmetrics:MeanSquaredError"}))[1]
    assert (words.name, words.better) == ("MeanSquaredError", "less")
    for name, said in (
        ("torchmetrics:SpearmanCorrCoef", "no function of sums"),
        ("torchmetrics:Nonsense", "no such metric"),
        ("torchmetrics:MeanSquaredError:nonsense=1", "nonsense"),
        ("torchmetrics:MeanSquaredError:a b", "write torchmetrics:NAME"),
    ):
        with pytest.raises(UserError, match=said):
            metric("regression", name)
