"""The allocator's rules, each with the arithmetic beside it, and what holds for every sequence."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actbench.measure.allocator import ALIGNMENT, MIB, AllocatorModel, Block


def allocated(*sizes: int) -> tuple[AllocatorModel, list[Block]]:
    allocator = AllocatorModel()
    return allocator, [allocator.allocate(size) for size in sizes]


@pytest.mark.parametrize(("size", "rounded"), [(1, 512), (512, 512), (513, 1024), (1000, 1024), (MIB - 1, MIB)])
def test_sizes_are_rounded_to_512_bytes(size: int, rounded: int) -> None:
    allocator, _ = allocated(size)
    assert allocator.allocated == rounded


@pytest.mark.parametrize(
    ("size", "segment"),
    [
        (1, 2),  # small: segments of 2 MiB
        (MIB, 2),
        (MIB + 1, 20),  # large, below 10 MiB: of 20 MiB
        (10 * MIB - 512, 20),
        (10 * MIB, 10),  # from there on: of its own, a multiple of 2 MiB
        (10 * MIB + 1, 12),
        (33 * MIB, 34),
    ],
)
def test_the_segment_follows_from_the_size(size: int, segment: int) -> None:
    allocator, _ = allocated(size)
    assert allocator.reserved == segment * MIB


def test_small_blocks_share_a_segment_until_it_is_full() -> None:
    """512 of 4 KiB are 2 MiB."""
    allocator, _ = allocated(*[4096] * 512)
    assert (allocator.allocated, allocator.reserved) == (2 * MIB, 2 * MIB)
    allocator.allocate(1)
    assert allocator.reserved == 4 * MIB


def test_large_blocks_share_a_segment_of_20_mib() -> None:
    """Six of 3 MiB are 18; the 2 MiB that are left hold no seventh."""
    allocator, _ = allocated(*[3 * MIB] * 6)
    assert allocator.reserved == 20 * MIB
    allocator.allocate(3 * MIB)
    assert allocator.reserved == 40 * MIB


def test_small_and_large_blocks_do_not_share() -> None:
    """The large segment has 18 MiB free, and the small block gets a segment of its own."""
    allocator, _ = allocated(2 * MIB, 512)
    assert allocator.reserved == 22 * MIB


def test_a_large_remainder_of_at_most_1_mib_is_not_split_off() -> None:
    """11 MiB in a segment of 12: the remaining MiB belongs to the block. 18.5 MiB in a segment of 20 leave 1.5."""
    allocator, (block,) = allocated(11 * MIB)
    assert (block.size, allocator.allocated) == (12 * MIB, 12 * MIB)
    allocator, (first, second) = allocated(9 * MIB, 9 * MIB + MIB // 2)
    assert (allocator.reserved, first.size, second.size) == (20 * MIB, 9 * MIB, 9 * MIB + MIB // 2)
    assert allocator.allocate(MIB + MIB // 2).size == MIB + MIB // 2
    assert allocator.reserved == 20 * MIB


def test_a_small_remainder_is_split_off_from_512_bytes_on() -> None:
    """1 MiB, and 1 MiB less 512 bytes, leave 512 bytes of a segment."""
    allocator, _ = allocated(MIB, MIB - 512)
    assert (allocator.allocated, allocator.reserved) == (2 * MIB - 512, 2 * MIB)
    allocator.allocate(512)
    assert (allocator.allocated, allocator.reserved) == (2 * MIB, 2 * MIB)


def test_the_smallest_block_that_fits_is_taken() -> None:
    """Free: 40, 12 and 30 MiB. Of 11 MiB, 12 have room; of 12 and a half, 30."""
    allocator, blocks = allocated(40 * MIB, 12 * MIB, 30 * MIB)
    addresses = [block.address for block in blocks]
    for block in blocks:
        allocator.free(block)
    assert allocator.allocate(11 * MIB).address == addresses[1]
    assert allocator.allocate(12 * MIB + MIB // 2).address == addresses[2]
    assert allocator.reserved == (40 + 12 + 30) * MIB


def test_of_blocks_of_one_size_the_lowest_address_is_taken() -> None:
    allocator, (first, second, third) = allocated(12 * MIB, 12 * MIB, 12 * MIB)
    lowest = first.address
    for block in (third, first, second):
        allocator.free(block)
    assert allocator.allocate(12 * MIB).address == lowest


def test_a_freed_block_is_joined_with_free_neighbours() -> None:
    """Of four blocks of 5 MiB in a segment of 20, the middle two are freed: 10 MiB, but not 11, fit between."""
    allocator, (_, second, third, _) = allocated(*[5 * MIB] * 4)
    allocator.free(second)
    allocator.free(third)
    assert allocator.allocate(10 * MIB).size == 10 * MIB
    assert allocator.reserved == 20 * MIB


def test_gaps_that_do_not_touch_are_not_joined() -> None:
    """Twice 5 MiB are free, and 10 MiB find no room: fragmentation of 1 − 25 / 30 at the peak."""
    allocator, (first, _, third, _) = allocated(*[5 * MIB] * 4)
    allocator.free(first)
    allocator.free(third)
    allocator.allocate(10 * MIB)
    assert (allocator.peak_allocated, allocator.peak_reserved) == (20 * MIB, 30 * MIB)
    assert allocator.fragmentation == pytest.approx(1 - 20 / 30)


def test_segments_are_kept() -> None:
    allocator, (block,) = allocated(100 * MIB)
    allocator.free(block)
    assert (allocator.allocated, allocator.reserved) == (0, 100 * MIB)
    assert (allocator.peak_allocated, allocator.peak_reserved) == (100 * MIB, 100 * MIB)


def test_neighbouring_segments_are_not_joined() -> None:
    """Two segments of 10 MiB hold no 20."""
    allocator, blocks = allocated(10 * MIB, 10 * MIB)
    for block in blocks:
        allocator.free(block)
    allocator.allocate(20 * MIB)
    assert allocator.reserved == 40 * MIB


def test_nothing_is_reserved_for_nothing() -> None:
    allocator = AllocatorModel()
    assert (allocator.reserved, allocator.fragmentation) == (0, 0)
    with pytest.raises(ValueError, match="0 bytes"):
        allocator.allocate(0)


def test_a_block_is_freed_once() -> None:
    allocator, (block,) = allocated(512)
    allocator.free(block)
    with pytest.raises(ValueError, match="free already"):
        allocator.free(block)


SIZES = st.one_of(st.integers(1, 4096), st.integers(1, 3 * MIB), st.integers(MIB, 40 * MIB))
STEPS = st.lists(st.one_of(SIZES, st.floats(0, 1, exclude_max=True)), max_size=60)
"""A size to allocate, or which of the live blocks is freed, as a share of them."""


def carried_out(allocator: AllocatorModel, steps: list[int | float], live: list[Block]) -> None:
    """Takes steps; `live`: the blocks that are in use, before and after."""
    for step in steps:
        if isinstance(step, int):
            live.append(allocator.allocate(step))
            assert step <= live[-1].size <= max(step + ALIGNMENT, step + MIB)
        elif live:
            allocator.free(live.pop(int(step * len(live))))
        check(allocator, live)


def check(allocator: AllocatorModel, live: list[Block]) -> None:
    assert allocator.allocated == sum(block.size for block in live)
    assert allocator.allocated <= allocator.peak_allocated <= allocator.reserved == allocator.peak_reserved
    ranges = sorted((block.address, block.address + block.size) for block in live)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(ranges))
    assert all(block.address % ALIGNMENT == block.size % ALIGNMENT == 0 for block in live)


@given(STEPS)
def test_blocks_lie_apart_in_what_is_reserved(steps: list[int | float]) -> None:
    carried_out(AllocatorModel(), steps, [])


@given(STEPS)
def test_when_all_is_freed_every_segment_is_whole_again(steps: list[int | float]) -> None:
    """Each can be filled: a large one by a block of its size, a small one, of 2 MiB, by two of 1 MiB."""
    allocator, live, filling = AllocatorModel(), list[Block](), list[int]()
    for step in steps:
        reserved = allocator.reserved
        carried_out(allocator, [step], live)
        if segment := allocator.reserved - reserved:
            filling += [MIB, MIB] if step <= MIB else [segment]
    for block in live:
        allocator.free(block)
    assert allocator.allocated == 0
    reserved = allocator.reserved
    for size in filling:
        allocator.allocate(size)
    assert allocator.allocated == allocator.reserved == reserved


@given(STEPS)
def test_the_same_sequence_gives_the_same_blocks(steps: list[int | float]) -> None:
    first, second = list[Block](), list[Block]()
    carried_out(AllocatorModel(), steps, first)
    carried_out(AllocatorModel(), steps, second)
    assert [(one.address, one.size) for one in first] == [(one.address, one.size) for one in second]
