"""Trains a network for segmentation on a folder of pairs, on random crops, and leaves its weights for `--weights`.

    python examples/train_segmentation.py --data camvid --classes 11 --epochs 20 --out lraspp.safetensors
    python examples/train_segmentation.py --data camvid --classes 11 --model nets.py:unet --out unet.safetensors

`--data` has `train/images/`, `train/labels/`, `test/images/` and `test/labels/`. Pixels of classes from `--classes` on
do not count. Called again after an interruption it goes on where it was, and with more epochs from where it ended.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from actbench.workloads.own.models import build_model, with_one_output

_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def read(folder: Path) -> tuple[Tensor, Tensor]:
    """Reads images (n, 3, H, W) and labels (n, H, W), 8 bits each: small ones, all in memory."""
    files = sorted((folder / "images").iterdir())
    images = numpy.stack([numpy.asarray(Image.open(file).convert("RGB")) for file in files])
    labels = [numpy.asarray(Image.open(folder / "labels" / f"{file.stem}.png")) for file in files]
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(numpy.stack(labels))


def normalised(images: Tensor) -> Tensor:
    """Gives pixels of 8 bits as `actbench run` gives them to a network: ImageNet's mean and deviation."""
    return (images.float() / 255 - _MEAN) / _STD


def crops(images: Tensor, labels: Tensor, batch: int, size: tuple[int, int]) -> Iterator[tuple[Tensor, Tensor]]:
    """Goes once through the images, in batches of one random crop each, every other batch mirrored."""
    for number, index in enumerate(torch.randperm(len(images)).split(batch)):
        top, left = (int(torch.randint(images.shape[2 + k] - size[k] + 1, ())) for k in (0, 1))
        rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
        image, label = images[index][..., rows, columns], labels[index][..., rows, columns]
        yield (image.flip(-1), label.flip(-1)) if number % 2 else (image, label)


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Weights rare classes up: the inverse root of how often each is seen, one on average over pixels."""
    counts = torch.bincount(labels.flatten().long(), minlength=classes)[:classes].float().clamp(min=1)
    weights = counts.rsqrt()
    return weights * counts.sum() / (weights * counts).sum()


@torch.no_grad()
def mean_iou(model: nn.Module, images: Tensor, labels: Tensor, classes: int) -> float:
    """Gives the mean intersection over union of whole images, in percent, of the classes that occur."""
    model.eval()
    confusion = torch.zeros(classes, classes)
    for image, label in zip(normalised(images).split(16), labels.split(16), strict=True):
        found, known = model(image).argmax(1), label < classes
        pairs = label[known].long() * classes + found[known]
        confusion += torch.bincount(pairs, minlength=classes**2).view(classes, classes)
    hits = confusion.diag()
    union = confusion.sum(0) + confusion.sum(1) - hits
    return float(100 * (hits / union)[union > 0].mean())


def main() -> None:
    """Prints a line an epoch, and the mean intersection over union on the part `test`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--classes", type=int, required=True)
    parser.add_argument("--model", default="torchvision:lraspp_mobilenet_v3_large", help="as `actbench run` takes it")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, nargs=2, default=(112, 144), metavar=("H", "W"))
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    torch.manual_seed(0)
    images, labels = read(arguments.data / "train")
    weights = class_weights(labels, arguments.classes)
    model = build_model(arguments.model, arguments.classes)
    with_one_output(model, "")  # torchvision's give a dictionary
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.rate)
    state, first = arguments.out.with_suffix(".state.pt"), 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["epoch"]

    began = time.monotonic()
    for epoch in range(first, arguments.epochs):
        torch.manual_seed(epoch)
        for group in optimizer.param_groups:
            group["lr"] = arguments.rate * (1 - epoch / arguments.epochs) ** 0.9
        model.train()
        losses = []
        for image, label in crops(images, labels, arguments.batch, tuple(arguments.crop)):
            target = torch.where(label < arguments.classes, label.long(), -100)
            loss = functional.cross_entropy(model(normalised(image)), target, weights)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1}, state)
        seconds = (time.monotonic() - began) / (epoch + 1 - first)
        left = seconds * (arguments.epochs - epoch - 1)
        mean = sum(losses) / len(losses)
        print(f"epoch {epoch + 1}/{arguments.epochs}  loss {mean:.3f}  {left / 60:.1f} min left", flush=True)

    save_file(model.state_dict(), arguments.out)
    score = mean_iou(model, *read(arguments.data / "test"), arguments.classes)
    print(f"{arguments.out}: mean IoU {score:.2f} % on the part test")


if __name__ == "__main__":
    main()
