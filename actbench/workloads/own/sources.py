"""Where the user's images come from: files, arrays, or a data set of his own. Each is a `Source`: it reads some at a
time, so that memory does not grow with how many there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor

from actbench.errors import UserError
from actbench.workloads.folder import read_image
from actbench.workloads.images import Source, negative
from actbench.workloads.own.code import Code, said_by
from actbench.workloads.own.description import Description
from actbench.workloads.own.fitting import cropped, middle, scaled, scaled_labels
from actbench.workloads.own.labels import read_label
from actbench.workloads.own.layout import PARTS, Part, Sample
from actbench.workloads.own.tasks import Task
from actbench.workloads.torchvision_import import torchvision


def source_of(description: Description, part: Part) -> Source:
    """The images of a part of a description's data. Raises UserError where they cannot be read."""
    layout = description.layout
    if layout.form == "code":
        return DatasetSource(description, part)
    if layout.form == "arrays":
        return ArraySource(description, part)
    return FileSource(description, layout.samples(part))


class FileSource:
    """Images in files, and their targets. They are scaled where the description says to what size; otherwise all have
    the size of the first."""

    def __init__(self, description: Description, samples: Sequence[Sample]) -> None:
        self._description = description
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def read(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Reads some images and their targets. Raises UserError, with the file, where that cannot be done."""
        threads = min(torch.get_num_threads(), len(numbers))
        if threads > 1:
            with ThreadPoolExecutor(threads) as pool:
                pairs = list(pool.map(self._one, numbers))
        else:
            pairs = [self._one(number) for number in numbers]
        images, targets = zip(*pairs, strict=True)
        return torch.stack(images), torch.stack(targets)

    def _one(self, number: int) -> tuple[Tensor, Tensor]:
        sample, wanted, by = self._samples[number], self._description.input, self._description.interpolation
        image = self._image(sample.image)
        if not isinstance(sample.target, str):
            return self._sized(cropped(image, wanted, by), sample.image), self._number(sample.target)
        label = self._image(sample.target) if self._restores else read_label(sample.target, self._description)
        if label.shape[-2:] != image.shape[-2:]:
            sizes = ("×".join(map(str, part.shape[-2:])) for part in (label, image))
            raise UserError(
                f"label {sample.target} is {next(sizes)}, and image {sample.image} is {next(sizes)}: make them alike"
            )
        if self._restores:  # to scale an image would change what is to be restored
            return self._sized(middle(image, wanted), sample.image), middle(label, wanted)
        return self._sized(scaled(image, wanted, by), sample.image), scaled_labels(label, wanted)

    @property
    def _restores(self) -> bool:
        return self._description.task == "restoration"

    def _image(self, path: str) -> Tensor:
        """8 bits of the channels that the network wants: 3, or 1 for grey."""
        image, wanted = read_image(Path(path)), self._description.input
        grey = wanted is not None and wanted[0] == 1
        pixels: Tensor = torchvision("torchvision.transforms.functional").pil_to_tensor(
            image.convert("L") if grey else image
        )
        return pixels

    def _number(self, target: int | tuple[float, ...]) -> Tensor:
        return torch.tensor(target) if isinstance(target, int) else torch.tensor(target) / self._description.scale

    def _sized(self, image: Tensor, path: str) -> Tensor:
        expected = self._description.input or self._first
        if tuple(image.shape) != expected:
            sizes = ["×".join(map(str, size)) for size in (image.shape, expected)]
            other = "--input" if self._description.input else self._samples[0].image
            wanted = "that all of them have" if self._restores else "to scale them to"
            raise UserError(
                f"image {path} is {sizes[0]}, and {other} is {sizes[1]}: give a size {wanted}, --input C,H,W"
            )
        return image

    @cached_property
    def _first(self) -> tuple[int, ...]:
        return tuple(self._image(self._samples[0].image).shape)


class ArraySource:
    """Images in a file `.npz`: the arrays `train_images` (n, C, H, W), `train_targets` (n, …), and the same of `test_`
    or `val_`."""

    def __init__(self, description: Description, part: Part) -> None:
        self._description = description
        file = Path(description.data)
        names = [f"{name}_{what}" for name in PARTS[part] for what in ("images", "targets")]
        try:
            with numpy.load(file, allow_pickle=False) as arrays:
                there = [name for name in names if name in arrays.files][:2]
                if len(there) < 2:
                    raise UserError(f"--data {file} has no arrays {names[0]} and {names[1]}")
                self._images, self._targets = (torch.from_numpy(arrays[name]) for name in there)
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"cannot read {file}: {error}") from error
        if self._images.ndim != 4 or len(self._images) != len(self._targets) or not len(self._images):
            shapes = f"{tuple(self._images.shape)} and {tuple(self._targets.shape)}"
            raise UserError(f"--data {file}: {there[0]} and {there[1]} are {shapes}, not (n, C, H, W) and (n, …)")

    def __len__(self) -> int:
        return len(self._images)

    def read(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Gives some images and their targets. Raises UserError where they are not of the size that was asked for."""
        pixels = as_pixels(self._images[numbers], self._description)
        return pixels, as_targets(self._targets[numbers], self._description)


class DatasetSource:
    """Images of `FILE.py:NAME`: a function that gives a map-style data set, of pairs of an image and its target, for
    `train` and for `test`."""

    def __init__(self, description: Description, part: Part) -> None:
        code = Code.parse(description.data)
        assert code is not None
        self._description, self._code, self._part = description, code, part
        make = code.load()
        self._dataset = self._asked(lambda: make(part))
        if not (hasattr(self._dataset, "__getitem__") and hasattr(self._dataset, "__len__")):
            raise UserError(
                f"--data {code} gives {type(self._dataset).__name__}, not a data set with len() and [index]"
            )
        if not len(self):
            raise UserError(f"--data {code} gives no image for {part}")

    def __len__(self) -> int:
        return int(self._asked(lambda: len(self._dataset)))

    def read(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Reads some images and their targets. Raises UserError, with the number, where that raises or does not fit."""
        pairs = [self._asked(partial(self._one, number), f" {number}") for number in numbers]
        images, targets = zip(*pairs, strict=True)
        for number, tensors in zip(numbers, pairs, strict=True):
            for tensor, first in zip(tensors, pairs[0], strict=True):
                if tensor.shape != first.shape:
                    shapes = f"{tuple(tensor.shape)} and {tuple(first.shape)}"
                    raise UserError(f"--data {self._code}, {self._part} {number}: shapes {shapes} in one batch")
        return torch.stack(images), torch.stack(targets)

    def _one(self, number: int) -> tuple[Tensor, Tensor]:
        image, target = self._dataset[number]
        tensors = _as_tensor(image), _as_tensor(target)
        if tensors[0].ndim != 3:
            raise UserError(f"an image has the shape {tuple(tensors[0].shape)}, not (C, H, W)")
        pixels = as_pixels(tensors[0][None], self._description)
        return pixels[0], as_targets(tensors[1][None], self._description)[0]

    def _asked(self, ask: Callable[[], Any], which: str = "") -> Any:
        try:
            return ask()
        except UserError as error:
            raise UserError(f"--data {self._code}, {self._part}{which}: {error}") from error
        except (Exception, SystemExit) as error:  # it is the user's code
            raise UserError(f"--data {self._code}, {self._part}{which}: {said_by(error)}") from error


class Negatives:
    """Images and targets of another source, both as photographic negatives."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def read(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Reads some, and inverts them."""
        pixels, targets = self._source.read(numbers)
        return negative(pixels), negative(targets)


def as_pixels(images: Tensor, description: Description) -> Tensor:
    """Images (n, C, H, W) of 8 bits, or in fp32 for those that are no whole numbers. Raises UserError for others, and
    for those of another size than the description says."""
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise UserError(f"images of {images.dtype}: give 8 bits, or floating point that stands for pixels/255")
    if description.input is not None and tuple(images.shape[1:]) != description.input:
        sizes = ["×".join(map(str, size)) for size in (images.shape[1:], description.input)]
        raise UserError(f"images are {sizes[0]}, and --input is {sizes[1]}: only files are scaled")
    return images if images.dtype == torch.uint8 else images.float()


def as_targets(targets: Tensor, description: Description) -> Tensor:
    """Targets (n, …) as a task has them: classes as int64, masks and images as they are, numbers in fp32."""
    task: Task = description.task
    if task == "classification":
        return targets.long()
    if task == "restoration":
        return targets if targets.dtype == torch.uint8 else targets.float()
    if task == "segmentation":
        return targets if targets.dtype == torch.uint8 else targets.int()
    numbers = targets.float() / description.scale
    return numbers.reshape(len(numbers), -1) if task == "regression" else numbers


def _as_tensor(value: Any) -> Tensor:
    if isinstance(value, Image.Image):
        array = torch.from_numpy(numpy.array(value))
        return array.permute(2, 0, 1).contiguous() if array.ndim == 3 else array
    return value if isinstance(value, Tensor) else torch.as_tensor(value)
