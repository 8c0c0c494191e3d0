"""Trains torchvision's ResNet-18 in a loop of one's own, compressed by each of several methods: loss, what a step saves
for the gradients, and its peak.

    python examples/train_compressed.py --methods group-quantize,hosvd --ceiling 8x --steps 20 --autocast
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

import actbench
from actbench.api.saving import count_saved_bytes
from actbench.measure.memory import measure_peak
from actbench.workloads.rendering import render
from actbench.workloads.torchvision_import import torchvision


def train(model: nn.Module, images: Tensor, labels: Tensor, steps: int, batch: int, *, autocast: bool) -> float:
    """Trains with SGD, and gives the mean loss of the last quarter of the steps."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    losses: list[float] = []
    for step in range(steps):
        index = torch.arange(step * batch, (step + 1) * batch) % len(images)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = functional.cross_entropy(model(images[index]).float(), labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    last = losses[-max(1, steps // 4) :]
    return sum(last) / len(last)


def step_once(model: nn.Module, images: Tensor, *, autocast: bool) -> None:
    """A step without an optimiser; backward runs outside of autocast, as it should."""
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = model(images).float().square().mean()
    loss.backward()


def main() -> None:
    """Prints a line for fp32 and for each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--methods", default="group-quantize,error-bound,gradient-filter,hosvd,svd,subspace,quantize,wcc"
    )
    parser.add_argument("--ceiling", default="8x")
    parser.add_argument("--bits", default="w32a2-8")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--autocast", action="store_true", help="compute in bfloat16 where autocast does")
    arguments = parser.parse_args()

    scenes = render(arguments.batch * arguments.steps, 1)
    images, labels = scenes.images - 0.5, scenes.labels
    settings = {"ceiling": arguments.ceiling, "bits": arguments.bits, "calibration": images[:64]}
    print(f"{'method':16} {'loss':>6} {'saved KiB':>10} {'of fp32':>8} {'peak KiB':>9}")
    plain = 0
    for method in ("fp32", *arguments.methods.split(",")):
        torch.manual_seed(0)
        model = torchvision("torchvision.models").resnet18(num_classes=10)
        if method != "fp32":
            model = actbench.compress_training(model, method=method, **settings)
        some, autocast = images[: arguments.batch], arguments.autocast
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            saved = count_saved_bytes(model, some)
        peak = measure_peak(partial(step_once, model, some, autocast=autocast), torch.device("cpu")).bytes
        plain = plain or saved
        model.zero_grad()
        loss = train(model, images, labels, arguments.steps, arguments.batch, autocast=arguments.autocast)
        print(f"{method:16} {loss:6.3f} {saved / 1024:10,.0f} {plain / saved:7.2f}x {peak / 1024:9,.0f}", flush=True)


if __name__ == "__main__":
    main()
