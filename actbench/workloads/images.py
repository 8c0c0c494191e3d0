"""Images as a workload has them: in memory, or read from where they are, some at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor
from typing_extensions import Self, override


class Images(ABC):
    """Images with their targets, and how a network wants them: `(pixels/255 − mean) / deviation`.

    Pixels have 8 bits; those in fp32 stand for pixels/255. `mean` and `deviation` are by channel.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Gives the pixels (n, C, H, W) and targets (n, ...) of some indices, (n,) int64 for a classifier."""

    @abstractmethod
    def select(self, index: Tensor | slice) -> Self:
        """Selects the images of some indices."""

    @abstractmethod
    def negative(self) -> Self:
        """Makes photographic negatives: the same images with every pixel p as 255 − p."""

    def __getitem__(self, index: slice) -> Tensor:
        return self.images(index)

    def images(self, index: Tensor | slice) -> Tensor:
        """Normalises the images of some indices → (n, C, H, W) fp32."""
        return self._normalised(self.read(index)[0])

    def loaded(self) -> ImageSet:
        """Loads all of them into memory."""
        return ImageSet(*self.read(slice(None)), self.mean, self.deviation)

    def spread(self, count: int | None) -> Self:
        """Selects `count` of the images, evenly spread, so that sorted classes stay balanced; all for None."""
        if count is None or count >= len(self):
            return self
        return self.select(torch.arange(count) * len(self) // count)

    def permuted(self, seed: int, count: int | None = None) -> Self:
        """Permutes the images as the seed decides, and keeps the first `count`; all for None. They stand for all,
        however a data set is sorted."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return self.select(order[:count])

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields images (batch, C, H, W) fp32 and targets in order, `size` at a time, and what remains last."""
        for start in range(0, len(self), size):
            yield self._batch(slice(start, start + size))

    def shuffled(self, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields images (size, C, H, W) fp32 and targets for ever, each epoch in an order that the seed decides."""
        generator = torch.Generator().manual_seed(seed)
        size = min(size, len(self))
        while True:
            order = torch.randperm(len(self), generator=generator)
            for index in order[: len(self) // size * size].split(size):
                yield self._batch(index)

    def _batch(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        pixels, targets = self.read(index)
        return self._normalised(pixels), targets

    def _normalised(self, pixels: Tensor) -> Tensor:
        mean, deviation = (torch.tensor(value).view(-1, 1, 1) for value in (self.mean, self.deviation))
        shares = pixels if pixels.is_floating_point() else pixels.float() / 255
        return (shares - mean) / deviation


@dataclass(frozen=True)
class ImageSet(Images):
    """Images in memory: `pixels` (n, C, H, W) and `targets` (n, ...)."""

    pixels: Tensor
    targets: Tensor
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @override
    def __len__(self) -> int:
        return len(self.pixels)

    @override
    def read(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        return self.pixels[index], self.targets[index]

    @override
    def select(self, index: Tensor | slice) -> Self:
        return replace(self, pixels=self.pixels[index], targets=self.targets[index])

    @override
    def negative(self) -> Self:
        return replace(self, pixels=negative(self.pixels))

    @override
    def loaded(self) -> ImageSet:
        return self


class Source(Protocol):
    """Where images are read from."""

    def __len__(self) -> int: ...

    def read(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Reads the pixels (n, C, H, W) and targets (n, ...) of some images, at least one."""


@dataclass(frozen=True)
class StreamedImages(Images):
    """Images that are read when they are asked for, so that memory does not grow with how many there are. `order`: the
    numbers (n,) of those of the source that are in it. `inverted`: whether they are the negatives of the source's."""

    source: Source
    order: Tensor
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    inverted: bool = False

    @classmethod
    def of(cls, source: Source, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Self:
        """All images of a source."""
        return cls(source, torch.arange(len(source)), mean, deviation)

    @override
    def __len__(self) -> int:
        return len(self.order)

    @override
    def read(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        pixels, targets = self.source.read(self.order[index].tolist())
        return negative(pixels) if self.inverted else pixels, targets

    @override
    def select(self, index: Tensor | slice) -> Self:
        return replace(self, order=self.order[index])

    @override
    def negative(self) -> Self:
        return replace(self, inverted=not self.inverted)


def negative(pixels: Tensor) -> Tensor:
    """Inverts pixels: 255 − p, or 1 − p in fp32."""
    return (1 if pixels.is_floating_point() else 255) - pixels
