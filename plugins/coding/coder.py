"""What the lossless coders have in common: codes in, strings of bits out, and numbers in strings of bits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy
import torch
from torch import Tensor

from actbench.codec.bit_strings import Stream, code_type, concatenate, pack_bits


class Coder(ABC):
    """A lossless code for unsigned integers of `width` bits; zeros should be frequent."""

    codes_at_once: ClassVar[int] = 1 << 17
    """Codes that stay in cache with all that is made of them."""

    def encode(self, codes: Tensor, width: int) -> Stream:
        """Codes (batch, n), uint8 or wider → one string of bits an image. A few at a time stay in cache."""
        at_once = max(1, self.codes_at_once // max(1, codes.shape[1]))
        return concatenate([self.write(images, width) for images in codes.split(at_once)])

    @abstractmethod
    def write(self, codes: Tensor, width: int) -> Stream:
        """The strings of a few images."""

    def lengths(self, codes: Tensor, width: int) -> Tensor:
        """The lengths (batch,) of the strings."""
        return self.encode(codes, width).lengths

    def counted_lengths(self, codes: Tensor, width: int) -> Tensor:
        """The lengths (batch,) of the strings, in operators of torch and without a branch on values."""
        return self.lengths(codes, width)

    def decode(self, stream: Stream, count: int, width: int) -> Tensor:
        """The codes (batch, count) that `encode` wrote."""
        at_once = max(1, self.codes_at_once // max(1, count))
        read = [self.read(images, count, width) for images in stream.split(at_once)]
        return torch.cat(read) if read else stream.bits.new_zeros(0, count).to(code_type(width))

    @abstractmethod
    def read(self, stream: Stream, count: int, width: int) -> Tensor:
        """The codes (images, count) of a few images' strings."""

    def fitted(self, codes: Tensor, width: int) -> Coder:
        """This code with its parameters chosen for codes of the calibration images; without any, itself."""
        return self

    def describe(self) -> dict[str, int]:
        """The parameters, for the record."""
        return {}


def numbers_at(bits: Tensor, positions: Tensor, count: int) -> Tensor:
    """The numbers that the `count` bits, at most 57, from each position on are; zeros follow the last bit."""
    size = 32 if count <= 25 else 64
    numbers = _words(bits, size // 8).index_select(0, positions >> 3)
    numbers <<= (positions & 7).to(numbers.dtype)
    return numbers.bitwise_right_shift_(size - count).bitwise_and_((1 << count) - 1)


def _words(bits: Tensor, size: int) -> Tensor:
    """The integers of `size` bytes, 4 or 8, that begin at each byte of a string."""
    packed = numpy.append(pack_bits(bits).cpu().numpy(), numpy.zeros(size, numpy.uint8))
    overlapping = numpy.ndarray((len(packed) - size + 1,), f">i{size}", packed, strides=(1,))
    return torch.from_numpy(overlapping.astype(f"=i{size}")).to(bits.device)
