"""Trains the checkpoint of `shapes`: `python -m actbench.workloads.train_shapes --out shapes.safetensors`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from actbench.workloads.rendering import DEVIATION, EVALUATION_SEED, MEAN, RENDERER_VERSION, TRAINING_SEED, render
from actbench.workloads.zoo.residual import ResidualNetwork


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of AdamW with a one-cycle schedule; images are flipped at random, which leaves classes as they are."""

    images: int = 20_000
    epochs: int = 10
    batch: int = 128
    learning_rate: float = 4e-3
    weight_decay: float = 0.02
    seed: int = 0


def train(settings: TrainingSettings) -> nn.Module:
    """Trains a network, and returns it in evaluation mode."""
    torch.manual_seed(settings.seed)
    scenes = render(settings.images, TRAINING_SEED)
    network = ResidualNetwork().train()
    steps = settings.epochs * (settings.images // settings.batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, steps)
    for epoch in range(settings.epochs):
        total = 0.0
        for images, labels in _batches(scenes.images, scenes.labels, settings.batch):
            loss = functional.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total * settings.batch / settings.images:.3f}", flush=True)
    return network.eval()


def accuracy(network: nn.Module, count: int = 2000) -> float:
    """Computes top-1 on `count` evaluation images, in per cent."""
    scenes = render(count, EVALUATION_SEED)
    with torch.no_grad():
        outputs = torch.cat([network(_normalised(part)) for part in scenes.images.split(100)])
    return 100 * float((outputs.argmax(1) == scenes.labels).double().mean())


def save(network: nn.Module, path: Path, settings: TrainingSettings) -> None:
    """Writes the weights in fp32, whole or not at all."""
    temporary = path.with_suffix(".tmp")
    metadata = {"renderer": str(RENDERER_VERSION), "epochs": str(settings.epochs), "seed": str(settings.seed)}
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, temporary, metadata)
    os.replace(temporary, path)


def _batches(images: Tensor, labels: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    order = torch.randperm(len(images))
    for index in order[: len(order) // size * size].split(size):
        flips = [dimension for dimension in (2, 3) if torch.rand(()) < 0.5]
        yield _normalised(images[index].flip(flips)), labels[index]


def _normalised(images: Tensor) -> Tensor:
    return (images - MEAN) / DEVIATION


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Train the checkpoint of the workload `shapes`.")
    parser.add_argument("--out", type=Path, required=True, help="where to write the weights (safetensors)")
    parser.add_argument("--epochs", type=int, default=TrainingSettings.epochs)
    parser.add_argument("--images", type=int, default=TrainingSettings.images)
    parser.add_argument("--seed", type=int, default=TrainingSettings.seed)
    arguments = parser.parse_args()
    settings = TrainingSettings(images=arguments.images, epochs=arguments.epochs, seed=arguments.seed)
    network = train(settings)
    save(network, arguments.out, settings)
    print(f"{arguments.out}: top-1 {accuracy(network):.2f} % on 2,000 evaluation images")


if __name__ == "__main__":
    main()
