"""What a GPU would hold, from short traces that are replayed by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from actbench.measure.memory_trace import MemoryEvent, MemoryTrace, trace_memory
from actbench.measure.prediction import MOST_IMAGES, largest_batch, predict_cuda, predicted_memory

MIB = 1 << 20


def trace(existing: dict[int, int], *events: tuple[int, int]) -> MemoryTrace:
    return MemoryTrace(existing, tuple(MemoryEvent("op", storage, size) for storage, size in events))


def test_what_existed_is_there_before() -> None:
    """3 and 5 MiB lie in a segment of 20; a tensor of 14 MiB needs one of its own, and 1000 bytes one of 2 MiB."""
    predicted = predict_cuda(trace({0: 3 * MIB, 1: 5 * MIB}, (2, 14 * MIB), (3, 1000)))
    assert predicted.peak_allocated == 22 * MIB + 1024
    assert predicted.peak_reserved == (20 + 14 + 2) * MIB
    assert predicted.fragmentation == pytest.approx(1 - (22 * MIB + 1024) / (36 * MIB))


def test_a_freed_block_is_used_again() -> None:
    predicted = predict_cuda(trace({}, (0, 12 * MIB), (0, 0), (1, 12 * MIB), (2, 12 * MIB)))
    assert predicted.peak_allocated == predicted.peak_reserved == 24 * MIB


def test_what_existed_may_be_freed_and_used_again() -> None:
    predicted = predict_cuda(trace({0: 12 * MIB}, (0, 0), (1, 12 * MIB)))
    assert predicted.peak_reserved == 12 * MIB


def test_a_resized_storage_is_copied_before_it_is_freed() -> None:
    predicted = predict_cuda(trace({}, (0, 12 * MIB), (0, 14 * MIB)))
    assert (predicted.allocated, predicted.peak_allocated) == (14 * MIB, 26 * MIB)


def test_a_network_by_hand() -> None:
    """Two convolutions on 16 images 1×64×64 in fp32: 256 KiB each way through the first (4 channels: 1 MiB) and
    back (1 channel). Weights and biases of 36, 4, 36 and 1 values are blocks of 512 bytes."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1))
    images = torch.zeros(16, 1, 64, 64)

    def run() -> Tensor:
        with torch.no_grad():
            out: Tensor = network(images)
            return out

    predicted = predict_cuda(trace_memory(run, [*network.parameters(), images]))
    assert predicted.peak_allocated == 4 * 512 + MIB // 4 + MIB + MIB // 4
    assert predicted.peak_reserved == 2 * MIB  # all in one segment of small blocks: no tensor is above 1 MiB
    assert predicted.allocated == 4 * 512 + MIB // 4


def test_the_record_is_of_the_batch_and_of_the_line_through_half_of_it() -> None:
    """16 MiB of weights and 12 MiB for each image, with a batch of 4: 8 GiB hold (8192 − 16) / 12 = 681.3 images."""

    def of(images: int) -> MemoryTrace:
        return trace({0: 16 * MIB}, *((number, 12 * MIB) for number in range(1, images + 1)))

    predicted = predicted_memory(4, of(4), of(2))
    assert (predicted.batch, predicted.allocated_bytes, predicted.reserved_bytes) == (4, 64 * MIB, 64 * MIB)
    assert predicted.largest_batch == {
        name: (memory * 1024 - 16) // 12
        for name, memory in {"8 GiB": 8, "16 GiB": 16, "24 GiB": 24, "80 GiB": 80}.items()
    }


def test_the_largest_batch_is_a_straight_line() -> None:
    """Weights of 100 bytes and 10 for each image."""
    assert largest_batch(limit=1000, batch=8, peak=180, half_peak=140) == 90
    assert largest_batch(limit=180, batch=8, peak=180, half_peak=140) == 8
    assert largest_batch(limit=189, batch=8, peak=180, half_peak=140) == 8
    assert largest_batch(limit=179, batch=8, peak=180, half_peak=140) == 7


def test_none_fits_beside_what_does_not_grow() -> None:
    assert largest_batch(limit=99, batch=8, peak=180, half_peak=140) == 0


def test_where_nothing_grows_any_batch_fits_or_none() -> None:
    assert largest_batch(limit=180, batch=8, peak=180, half_peak=180) == MOST_IMAGES
    assert largest_batch(limit=179, batch=8, peak=180, half_peak=180) == 0
    assert largest_batch(limit=1 << 60, batch=8, peak=181, half_peak=180) == MOST_IMAGES


@given(st.integers(0, 1 << 40), st.integers(1, 1 << 30), st.integers(2, 257), st.integers(0, 1 << 44))
def test_one_image_more_does_not_fit(fixed: int, each: int, batch: int, limit: int) -> None:
    found = largest_batch(limit, batch, fixed + each * batch, fixed + each * (batch // 2))
    assert found in (0, MOST_IMAGES) or fixed + each * found <= limit < fixed + each * (found + 1)
    assert found > 0 or fixed + each > limit
