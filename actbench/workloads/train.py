"""Trains an embedded workload's checkpoint: `python -m actbench.workloads.train shapes --out shapes.safetensors`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from actbench.workloads.base import Metric, WorkloadSettings
from actbench.workloads.embedded import Dense, Embedded
from actbench.workloads.files import read_weights
from actbench.workloads.identify import checkpoint
from actbench.workloads.images import Images, ImageSet
from actbench.workloads.own.metrics import metric_of_task
from actbench.workloads.own.tasks import METRICS
from actbench.workloads.photos import PhotosDenoise, PhotosUpscale
from actbench.workloads.shapes import Shapes, ShapesDepth, ShapesSegmentation


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of AdamW with a one-cycle schedule; images are flipped at random, and maps of targets with them. The
    first `coarse` epochs are of images of half the height and width. `start`: a workload of the same network, whose
    checkpoint is where training begins, but for layers of another size. `half`: whether products are computed in
    bfloat16; weights are fp32 either way."""

    images: int
    epochs: int
    coarse: int = 0
    start: str = ""
    batch: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    seed: int = 0
    half: bool = True


SETTINGS: Mapping[type[Embedded], TrainingSettings] = {
    Shapes: TrainingSettings(images=20_000, epochs=10, batch=128, learning_rate=4e-3, half=False),
    ShapesSegmentation: TrainingSettings(images=4096, epochs=14, coarse=10),
    ShapesDepth: TrainingSettings(images=4096, epochs=5, coarse=2, start="shapes-segmentation"),
    PhotosDenoise: TrainingSettings(images=8192, epochs=2, learning_rate=2e-3, weight_decay=0.0),
    PhotosUpscale: TrainingSettings(images=8192, epochs=4, learning_rate=2e-3, weight_decay=0.0),
}
"""Of the checkpoints that come with actbench."""


def train(workload: Embedded, settings: TrainingSettings) -> nn.Module:
    """Trains a workload's network, and returns it in evaluation mode."""
    torch.manual_seed(settings.seed)
    images = workload.images("train", settings.images)
    network = _start(workload.network(), settings.start).train()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = settings.images // settings.batch
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, settings.epochs * steps)
    for epoch in range(settings.epochs):
        total = 0.0
        for pixels, targets in _batches(images, settings.batch, coarse=epoch < settings.coarse):
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.half):
                outputs = network(pixels)
            total += _step(workload.loss(outputs.float(), targets), optimizer)
            schedule.step()
        print(f"epoch {epoch + 1}: loss {total / steps:.4g}", flush=True)
    return network.eval()


def qualities(workload: Embedded, network: nn.Module) -> dict[str, float]:
    """Computes the metrics of a workload's task on its evaluation images, by name; top-1 of a classifier."""
    metrics: dict[str, Metric] = {"top-1": workload.metric}
    if isinstance(workload, Dense):
        metrics = {words.name: metric_of_task(workload.task, words.name) for words in METRICS[workload.task]}
    evaluation = workload.evaluation_set()
    return {name: _quality(metric, network, evaluation) for name, metric in metrics.items()}


def save(network: nn.Module, path: Path, settings: TrainingSettings, version: str) -> None:
    """Writes the weights in fp32, whole or not at all. `version`: of the images, as `renderer:1`."""
    temporary = path.with_suffix(".tmp")
    source, _, number = version.partition(":")
    metadata = {source: number, "epochs": str(settings.epochs), "seed": str(settings.seed)}
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, temporary, metadata)
    os.replace(temporary, path)


def _start(network: nn.Module, name: str) -> nn.Module:
    """Fills a network with what fits it of a workload's checkpoint; with nothing where none is named."""
    own = network.state_dict()
    given = read_weights(checkpoint(name)) if name else {}
    network.load_state_dict(own | {key: value for key, value in given.items() if own[key].shape == value.shape})
    return network


def _step(loss: Tensor, optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.item())


def _batches(images: ImageSet, size: int, *, coarse: bool) -> Iterator[tuple[Tensor, Tensor]]:
    order = torch.randperm(len(images))
    for index in order[: len(order) // size * size].split(size):
        flips = [dimension for dimension in (-2, -1) if torch.rand(()) < 0.5]
        pixels, targets = images.images(index), images.targets[index]
        if coarse:
            pixels, targets = functional.avg_pool2d(pixels, 2), targets[..., ::2, ::2]
        yield pixels.flip(flips), targets.flip(flips) if targets.ndim > 2 else targets


def _quality(metric: Metric, network: nn.Module, images: Images) -> float:
    with torch.no_grad():
        statistics = [metric.per_image(network(pixels), targets) for pixels, targets in images.batches(16)]
    return float(metric.score(torch.cat(statistics).mean(0)))


def main() -> None:
    """Runs the command line."""
    named = {workload.name: workload for workload in SETTINGS}
    parser = argparse.ArgumentParser(description="Train the checkpoint of a workload that comes with actbench.")
    parser.add_argument("workload", choices=list(named))
    parser.add_argument("--out", type=Path, required=True, help="where to write the weights (safetensors)")
    parser.add_argument("--epochs", type=int, help="in place of the workload's own")
    parser.add_argument("--images", type=int, help="in place of the workload's own")
    parser.add_argument("--seed", type=int, default=TrainingSettings.seed)
    arguments = parser.parse_args()
    workload = named[arguments.workload](WorkloadSettings())
    given = {name: getattr(arguments, name) for name in ("epochs", "images", "seed")}
    settings = replace(SETTINGS[type(workload)], **{name: value for name, value in given.items() if value is not None})
    network = train(workload, settings)
    save(network, arguments.out, settings, workload.version)
    reached = ", ".join(f"{name} {value:.4g}" for name, value in qualities(workload, network).items())
    print(f"{arguments.out}: {reached} on the evaluation images")


if __name__ == "__main__":
    main()
