"""Memory of a GPU: measured, and predicted without it."""

import pytest
import torch

from actbench.measure.memory import cuda_peak, measure_peak
from tests.gpu.fresh import fits, in_a_new_process, measured, measured_and_replayed, predicted

pytestmark = pytest.mark.gpu

MIB = 1 << 20

OFF_BY = 0.02
"""Of the model's peaks after the requests that the GPU's allocator got: where it takes the lower of two addresses, the
model may take another block, since where segments lie is not known."""

OFF_ON_THE_CPU = 0.25
"""Of peaks that are predicted from a run on the CPU: the GPU's operators have workspaces, and kernels of their own."""

WORKSPACES = 64 * MIB


def test_a_peak_is_that_of_the_tensors() -> None:
    device, size = torch.device("cuda"), 64 * MIB  # large enough for each tensor to get a segment of its own
    before = torch.zeros(size // 4, device=device)
    peak = cuda_peak(lambda: before + 1 + 1, device)
    assert peak.allocated == 2 * size
    assert peak.reserved >= 2 * size
    assert torch.cuda.memory_allocated(device) >= size  # which does not count
    memory = measure_peak(lambda: before + 1 + 1, device)
    assert (memory.bytes, memory.source) == (2 * size, "cuda allocator")


def test_what_is_beyond_the_limit_is_refused() -> None:
    assert in_a_new_process(fits, 512 * MIB, 256 * MIB)
    assert not in_a_new_process(fits, 512 * MIB, 768 * MIB)


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_the_model_of_the_allocator_does_what_the_allocator_did(training: bool) -> None:
    peak, replayed = in_a_new_process(measured_and_replayed, training)
    assert replayed.allocated == pytest.approx(peak.allocated, rel=OFF_BY)
    assert replayed.reserved == pytest.approx(peak.reserved, rel=OFF_BY)


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_a_run_on_the_cpu_predicts_that_on_the_gpu(training: bool) -> None:
    on_the_cpu, on_the_gpu = predicted(training), in_a_new_process(measured, training)
    for one, other in (
        (on_the_cpu.allocated, on_the_gpu.allocated),
        (on_the_cpu.reserved, on_the_gpu.reserved),
    ):
        assert one * (1 - OFF_ON_THE_CPU) <= other <= one * (1 + OFF_ON_THE_CPU) + WORKSPACES
