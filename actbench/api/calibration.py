"""Calibration images as a user has them: a tensor, a pair with targets, or batches of either."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from actbench.errors import UserError
from actbench.recovery.objectives import Loss
from actbench.workloads.own.models import pick

Images = Tensor | tuple[Tensor, Tensor] | Iterable[Tensor] | Iterable[tuple[Tensor, Tensor]]
"""Images (n, C, H, W) as the network takes them; or a pair of them with targets (n, …); or batches of either, as a
DataLoader gives them."""

MOST = 512
"""The most images that are looked at, as the protocol has it."""


@dataclass(frozen=True)
class Calibration:
    """Images (n, C, H, W) and targets (n, …), on the CPU, in a random order."""

    pixels: Tensor
    targets: Tensor

    @classmethod
    def of(cls, images: Images, model: nn.Module) -> Calibration:
        """Takes at most MOST images. Without targets these are what the model itself gives. Raises UserError where they
        are no images, where the model is not in fp32, or where it cannot take them."""
        widths = {str(parameter.dtype).removeprefix("torch.") for parameter in model.parameters()} - {"float32"}
        if widths:
            raise UserError(f"the model's weights are {', '.join(sorted(widths))}: compress model.float()")
        pixels, targets = _collected(images)
        order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
        pixels = pixels[order]
        return cls(pixels, _outputs(model, pixels) if targets is None else targets[order])

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: slice) -> Tensor:
        return self.pixels[index]

    def select(self, index: slice) -> Calibration:
        """Selects some of the images."""
        return Calibration(self.pixels[index], self.targets[index])

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields images and targets in order, `size` at a time."""
        yield from zip(self.pixels.split(size), self.targets.split(size), strict=True)

    def parted(self) -> tuple[Calibration, Calibration]:
        """Three quarters of the images to plan and fit on, and the others to choose by."""
        fitted = -(-3 * len(self) // 4)
        return self.select(slice(0, fitted)), self.select(slice(fitted, None))


def default_loss(targets: Tensor) -> Loss:
    """Cross-entropy for whole numbers; for targets in floating point the divergence of classes where there is a row of
    them an image, and else the mean squared error. All take what a model gives, of several outputs one, and targets
    (n, …)."""
    if not targets.is_floating_point():
        return lambda outputs, classes: functional.cross_entropy(pick(outputs, ""), classes.long())
    apart = _divergence if targets.dim() == 2 else functional.mse_loss
    return lambda outputs, others: apart(pick(outputs, ""), others)


def _divergence(outputs: Tensor, targets: Tensor) -> Tensor:
    logarithms = outputs.log_softmax(1), targets.log_softmax(1)
    return functional.kl_div(*logarithms, reduction="batchmean", log_target=True)


def _collected(images: Images) -> tuple[Tensor, Tensor | None]:
    batches = [images] if isinstance(images, Tensor | tuple) else images
    pixels: list[Tensor] = []
    targets: list[Tensor] = []
    for batch in batches:
        some = batch if isinstance(batch, Tensor) else batch[0]
        if not isinstance(some, Tensor) or some.dim() != 4 or not some.is_floating_point():
            raise UserError("calibration images: give a floating-point tensor (n, C, H, W), or batches of such tensors")
        pixels.append(some.detach().cpu())
        if not isinstance(batch, Tensor):
            targets.append(torch.as_tensor(batch[1]).detach().cpu())
        if sum(map(len, pixels)) >= MOST:
            break
    if not pixels or not sum(map(len, pixels)):
        raise UserError("calibration images: there are none")
    joined = torch.cat(targets)[:MOST] if targets else None
    if joined is not None and len(joined) != len(torch.cat(pixels)[:MOST]):
        raise UserError(f"calibration: {len(torch.cat(pixels))} images with {len(joined)} targets")
    return torch.cat(pixels)[:MOST].float(), joined


@torch.no_grad()
def _outputs(model: nn.Module, pixels: Tensor) -> Tensor:
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    try:
        outputs = [pick(model(some.to(device)), "") for some in pixels.split(32)]
    except UserError:
        raise
    except Exception as error:  # it is the user's code
        size = "x".join(map(str, pixels.shape[1:]))
        raise UserError(f"the model does not accept images of {size}: {' '.join(str(error).split())[:200]}") from error
    if not all(isinstance(output, Tensor) for output in outputs):
        raise UserError(f"the model gives {type(outputs[0]).__name__}, not a tensor: give targets and a loss")
    return torch.cat([cast(Tensor, output).float().cpu() for output in outputs])
