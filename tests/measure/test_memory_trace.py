"""Traces of runs that are short enough to be written down."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from actbench.measure.memory_trace import MemoryEvent, MemoryTrace, trace_memory

KIB = 256  # fp32 elements in one KiB

TWICE_IN_A_NEW_PROCESS = """
import torch
from torch import nn
from actbench.measure.memory_trace import trace_memory
network, images, targets = nn.Sequential(nn.Linear(8, 10)), torch.ones(4, 8), torch.zeros(4, dtype=torch.long)
def run():
    network.zero_grad()
    nn.functional.cross_entropy(network(images), targets).backward()
first = trace_memory(run)
network.zero_grad()
assert first == trace_memory(run)
"""


def zeros(kib: int = 1) -> Tensor:
    return torch.zeros(kib * KIB)


def happened(trace: MemoryTrace) -> list[tuple[str, int, int]]:
    return [(event.operator, event.storage, event.bytes) for event in trace.events]


def test_a_chain_by_hand() -> None:
    x = zeros()

    def run() -> None:
        y = x.exp()
        y = y.sin()  # now both are alive
        y[:10].neg()

    assert happened(trace_memory(run)) == [
        ("aten.exp", 1, 1024),
        ("aten.sin", 2, 1024),
        ("aten.sin", 1, 0),
        ("aten.neg", 3, 40),
        ("aten.neg", 3, 0),
        ("aten.neg", 2, 0),
    ]
    trace = trace_memory(run)
    assert trace.timeline == [1024, 2048, 1024, 1064, 1024, 0]
    assert (trace.peak, trace.peak_operator) == (2048, "aten.sin")
    assert trace.existing == {0: 1024}


def test_nothing() -> None:
    trace = trace_memory(lambda: None)
    assert (trace.events, trace.timeline, trace.peak, trace.peak_operator) == ((), [], 0, "")


def test_what_was_there_before_is_in_the_order_given() -> None:
    used, unused = zeros(1), zeros(3)
    assert trace_memory(lambda: used.exp(), [unused, used, unused[:5]]).existing == {0: 3072, 1: 1024}
    assert trace_memory(lambda: used.exp()).existing == {0: 1024}


def test_tensors_without_data_stand_for_what_a_gpu_would_hold() -> None:
    assert trace_memory(lambda: None, [torch.empty(KIB, device="meta")]).existing == {0: 1024}


def test_freeing_what_was_there_before_is_an_event_that_makes_no_room() -> None:
    before = [zeros(8)]

    def run() -> Tensor:
        y = before[0].exp()
        before.clear()
        return y.sum()

    trace = trace_memory(run)
    assert happened(trace)[:3] == [("aten.exp", 1, 8192), ("aten.exp", 0, 0), ("aten.sum", 2, 4)]
    assert trace.timeline[:3] == [8192, 8192, 8196]


def test_a_storage_that_grows_counts_by_what_it_grew() -> None:
    x = zeros(2)
    trace = trace_memory(lambda: x.resize_(5 * KIB))
    assert trace.events == (MemoryEvent("aten.resize_", 0, 5120),)
    assert trace.timeline == [3072]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_operator_of_the_peak_is_named_in_every_mode(mode: type) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 8, 1))
    with mode():
        assert trace_memory(lambda: network(torch.zeros(1, 1, 8, 8))).peak_operator == "aten.convolution"


def test_the_first_trace_of_a_process_is_that_of_every_other() -> None:
    done = subprocess.run([sys.executable, "-c", TWICE_IN_A_NEW_PROCESS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
