"""A process that decodes packed payloads, and has never seen the images that were packed."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from actbench.codec.codec import Codec
from actbench.codec.layouts import as_map
from actbench.codec.packing import Layout, layout, pack, unpack
from actbench.codec.payload import Payload
from actbench.errors import InvalidCodec
from actbench.feature_map import Layout as MapLayout
from actbench.network.splice import Spliced

Decode = Callable[[str, list[bytes], Layout], Tensor]
"""The map's name, packed images and their layout → what they decode to, (images, C, H, W)."""


@contextmanager
def fresh_decoder(codecs: Mapping[str, Codec], device: torch.device) -> Iterator[Decode]:
    """Decodes in a process that is forked now, with codecs as they are now: what they keep from here on, in an object,
    a class or a module, is not there. On a GPU, which forked processes cannot use, copies of the codecs have to do."""
    if device.type != "cpu" or not hasattr(os, "fork"):
        copies = {name: copy.deepcopy(codec) for name, codec in codecs.items()}
        yield lambda name, images, form: _decoded(copies[name], images, form, device)
        return
    ours, its = Pipe()
    process = os.fork()
    if process == 0:
        _serve(codecs, its, ours)
    its.close()
    try:
        yield lambda name, images, form: _asked(ours, name, images, form)
    finally:
        ours.close()
        os.waitpid(process, 0)


class Sampled:
    """Checks what some images of one batch of an evaluation are stored as, packed, against what they are decoded to.

    Enter it around an evaluation of `batches` batches. Which batch and which `images` of it is drawn by the system's
    source of randomness, when the codecs are fixed: a codec cannot know when it is looked at, nor in batches of which
    size. The evaluation raises InvalidCodec where packed payloads are not as long as they claim, or decode to other
    values.
    """

    def __init__(self, spliced: Spliced, batches: int, images: int, decode: Decode) -> None:
        self._spliced = spliced
        self._images = images
        self._decode = decode
        self._chance = random.SystemRandom()
        self._batch = self._chance.randrange(batches)
        self._index: list[int] | None = None
        self._calls: dict[str, int] = {}
        self._packed: dict[str, tuple[list[bytes], Layout]] = {}
        self._hooks: list[Any] = []

    def __enter__(self) -> Sampled:
        decoders = self._spliced.decoders()
        for name, encoder in self._spliced.encoders().items():
            alone = name not in decoders
            self._hooks.append(encoder.register_forward_hook(self._on_encode(name, alone)))
        for name, decoder in decoders.items():
            self._hooks.append(decoder.register_forward_hook(self._on_decode(name, decoder.layout)))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _check(self, name: str, expected: Tensor) -> None:
        decoded = self._decode(name, *self._packed.pop(name))
        same = decoded.shape == expected.shape
        if not same or not torch.allclose(decoded, expected, rtol=1e-5, atol=1e-6, equal_nan=True):
            raise InvalidCodec(
                f"{name}: a process that has not seen the images decodes the packed payload alone to other values: "
                "decode uses more than that"
            )

    def _on_encode(self, name: str, alone: bool) -> Callable[..., None]:
        def hook(stage: Any, arguments: object, payload: Payload) -> None:
            self._calls[name] = self._calls.get(name, -1) + 1
            if self._calls[name] != self._batch:
                return
            if self._index is None:
                self._index = sorted(self._chance.sample(range(payload.batch), min(self._images, payload.batch)))
            self._packed[name] = _packed(name, payload.select(self._index))
            if alone:  # its readers convolve what is stored
                self._check(name, stage.codec.decode(payload)[self._index].float().cpu())

        return hook

    def _on_decode(self, name: str, layout: MapLayout) -> Callable[..., None]:
        def hook(stage: object, arguments: object, decoded: Tensor) -> None:
            if self._calls.get(name) == self._batch:
                self._check(name, as_map(decoded, layout)[self._index].float().cpu())

        return hook


def _packed(name: str, payload: Payload) -> tuple[list[bytes], Layout]:
    images = pack(payload)
    for image, bits in zip(images, payload.bits_per_image().tolist(), strict=True):
        if not 0 <= len(image) * 8 - bits < 8:
            raise InvalidCodec(f"{name} claims {bits} bits and packs into {len(image)} bytes")
    return images, layout(payload)


def _decoded(codec: Codec, images: list[bytes], form: Layout, device: torch.device) -> Tensor:
    with torch.no_grad():
        return codec.decode(unpack(images, form, device)).float().cpu()


def _asked(connection: Connection, name: str, images: list[bytes], form: Layout) -> Tensor:
    try:
        connection.send((name, images, form))
        answer = connection.recv()
    except (EOFError, OSError):
        raise InvalidCodec(f"{name}: decode ends the process that decodes the packed payload alone") from None
    if isinstance(answer, str):
        raise InvalidCodec(f"{name}: decode fails on the packed payload alone: {answer}")
    return torch.from_numpy(answer)


def _serve(codecs: Mapping[str, Codec], connection: Connection, other: Connection) -> None:
    try:
        other.close()
        torch.set_num_threads(1)  # a forked process has no threads to share work with
        while True:
            name, images, form = connection.recv()
            connection.send(_answer(codecs[name], images, form))
    finally:
        os._exit(0)


def _answer(codec: Codec, images: list[bytes], form: Layout) -> object:
    try:
        return _decoded(codec, images, form, torch.device("cpu")).numpy()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
