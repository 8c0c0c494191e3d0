"""A model of PyTorch's caching allocator on a GPU: what it would hold after any sequence of allocations, with no GPU.

The rules are those of `c10/cuda/CUDACachingAllocator.cpp` with its defaults (no expandable segments, blocks of any
size are split), for one stream and a GPU that never runs out of memory:

- A size is rounded up to a multiple of 512 bytes.
- Up to 1 MiB it is served by the pool of small blocks, in segments of 2 MiB; above by the pool of large ones, in
  segments of 20 MiB for less than 10 MiB, and else in a segment of its own, rounded up to a multiple of 2 MiB.
- The smallest free block of the pool that is large enough is taken, of equal ones that with the lowest address; where
  there is none, a new segment is.
- What a block has beyond the size is split off where it is at least 512 bytes in the small pool, more than 1 MiB in
  the large one. What is not split off counts as allocated.
- A block that is freed is joined with the free blocks beside it in its segment. A segment is never given back.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

MIB = 1 << 20
ALIGNMENT = 512
"""Bytes: sizes are multiples of it."""

_SMALL, _SMALL_SEGMENT = MIB, 2 * MIB
_LARGE, _LARGE_SEGMENT = 10 * MIB, 20 * MIB
_OWN_SEGMENT = 2 * MIB


@dataclass(eq=False)
class Block:
    """A part of a segment, in use or free. `address`, `size`: bytes; `previous`, `following`: its neighbours there."""

    address: int
    size: int
    small: bool
    free: bool = True
    previous: Block | None = field(default=None, repr=False)
    following: Block | None = field(default=None, repr=False)


class AllocatorModel:
    """The allocator of one GPU. Its properties are bytes, but for `fragmentation`."""

    def __init__(self) -> None:
        self._free: dict[bool, list[Block]] = {True: [], False: []}  # of the small and of the large pool, by `_order`
        self._allocated = self._peak_allocated = self._reserved = 0

    @property
    def allocated(self) -> int:
        """In blocks that are in use, as `torch.cuda.memory_allocated` counts them."""
        return self._allocated

    @property
    def peak_allocated(self) -> int:
        """The most that was in use at one time."""
        return self._peak_allocated

    @property
    def reserved(self) -> int:
        """In segments, as `torch.cuda.memory_reserved` counts them."""
        return self._reserved

    @property
    def peak_reserved(self) -> int:
        """The most that was in segments: all of them, since none is given back."""
        return self._reserved

    @property
    def fragmentation(self) -> float:
        """The share of what was reserved that is not in use even at the peak: 1 − allocated / reserved."""
        return 1 - self.peak_allocated / self.peak_reserved if self.peak_reserved else 0.0

    def allocate(self, size: int) -> Block:
        """A block of at least so many bytes. Raises ValueError for none: an empty tensor gets no block."""
        if size <= 0:
            raise ValueError(f"{size} bytes: a block has at least one")
        size = _rounded_up(size, ALIGNMENT)
        block = self._best_fit(size) or self._segment(size)
        self._split(block, size)
        block.free = False
        self._allocated += block.size
        self._peak_allocated = max(self._peak_allocated, self._allocated)
        return block

    def free(self, block: Block) -> None:
        """Takes a block back. Raises ValueError where it is free already."""
        if block.free:
            raise ValueError(f"the block at {block.address} is free already")
        self._allocated -= block.size
        block.free = True
        for neighbour in (block.previous, block.following):
            if neighbour is not None and neighbour.free:
                self._pick(neighbour)
                _join(block, neighbour)
        insort(self._free[block.small], block, key=_order)

    def _best_fit(self, size: int) -> Block | None:
        blocks = self._free[size <= _SMALL]
        index = bisect_left(blocks, (size, 0), key=_order)
        return blocks.pop(index) if index < len(blocks) else None

    def _segment(self, size: int) -> Block:
        """A new segment. Where the GPU puts it is not known: here behind those before."""
        segment = Block(self._reserved, _segment_size(size), small=size <= _SMALL)
        self._reserved += segment.size
        return segment

    def _split(self, block: Block, size: int) -> None:
        rest = block.size - size
        if rest < ALIGNMENT if block.small else rest <= _SMALL:
            return
        remainder = Block(block.address + size, rest, block.small, previous=block, following=block.following)
        if block.following is not None:
            block.following.previous = remainder
        block.size, block.following = size, remainder
        insort(self._free[block.small], remainder, key=_order)

    def _pick(self, block: Block) -> None:
        """Takes a certain free block out of its pool."""
        blocks = self._free[block.small]
        del blocks[bisect_left(blocks, _order(block), key=_order)]


def _order(block: Block) -> tuple[int, int]:
    return block.size, block.address


def _rounded_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _segment_size(size: int) -> int:
    if size <= _SMALL:
        return _SMALL_SEGMENT
    return _LARGE_SEGMENT if size < _LARGE else _rounded_up(size, _OWN_SEGMENT)


def _join(block: Block, neighbour: Block) -> None:
    """Makes a block's free neighbour a part of it."""
    if neighbour is block.previous:
        block.address, block.previous = neighbour.address, neighbour.previous
        if block.previous is not None:
            block.previous.following = block
    else:
        block.following = neighbour.following
        if block.following is not None:
            block.following.previous = block
    block.size += neighbour.size
