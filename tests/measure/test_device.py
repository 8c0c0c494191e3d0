"""Everything that touches a GPU, on one that records what it is asked."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from actbench.measure.device import limit_memory
from actbench.measure.latency import Clock, timed
from actbench.measure.memory import cuda_peak, measure_peak

DEVICE = torch.device("cuda", 0)


class Gpu:
    """Memory, a clock and a stream. Work is done when it is waited for; a block that is freed stays reserved."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.allocated = self.reserved = self.peak_allocated = self.peak_reserved = 0
        self.milliseconds = 0.0

    def take(self, size: int) -> None:
        self.calls.append("take")
        self.allocated += size
        self.reserved = max(self.reserved, self.allocated)
        self.peak_allocated = max(self.peak_allocated, self.allocated)
        self.peak_reserved = max(self.peak_reserved, self.reserved)

    def give(self, size: int) -> None:
        self.allocated -= size

    def synchronize(self, device: torch.device) -> None:
        assert device == DEVICE
        self.calls.append("synchronize")

    def empty_cache(self) -> None:
        self.calls.append("empty_cache")
        self.reserved = self.allocated

    def reset_peak_memory_stats(self, device: torch.device) -> None:
        self.calls.append("reset")
        self.peak_allocated, self.peak_reserved = self.allocated, self.reserved

    def statistics(self) -> dict[str, Any]:
        return {
            "empty_cache": self.empty_cache,
            "reset_peak_memory_stats": self.reset_peak_memory_stats,
            "memory_allocated": lambda device: self.allocated,
            "memory_reserved": lambda device: self.reserved,
            "max_memory_allocated": lambda device: self.peak_allocated,
            "max_memory_reserved": lambda device: self.peak_reserved,
        }


@pytest.fixture(params=["torch.accelerator", "torch.cuda"])
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Gpu:
    """With a torch whose accelerator knows its memory, and with one before 2.9."""
    gpu = Gpu()

    class Event:
        def __init__(self, device: torch.device, enable_timing: bool) -> None:
            assert (device, enable_timing) == (DEVICE, True)

        def record(self, stream: object) -> None:
            assert stream == "the current stream"
            self.at = gpu.milliseconds

        def synchronize(self) -> None:
            gpu.calls.append("event")

        def elapsed_time(self, end: "Event") -> float:
            return end.at - self.at

    accelerator = {"synchronize": gpu.synchronize, "current_stream": lambda device: "the current stream"}
    knows = gpu.statistics() if request.param == "torch.accelerator" else {}
    monkeypatch.setattr(torch, "accelerator", SimpleNamespace(**accelerator, **knows))
    for name, function in ({} if knows else gpu.statistics()).items():
        monkeypatch.setattr(torch.cuda, name, function)
    monkeypatch.setattr(torch, "Event", Event)
    return gpu


def test_a_peak_is_beyond_what_was_there_and_measured_when_all_is_done(gpu: Gpu) -> None:
    gpu.take(1000)
    gpu.give(900)  # a peak, and a cached segment, of before

    def run() -> None:
        gpu.take(50)
        gpu.take(30)
        gpu.give(60)

    gpu.calls.clear()
    peak = cuda_peak(run, DEVICE)
    assert (peak.allocated, peak.reserved) == (80, 80)
    assert gpu.calls == ["synchronize", "empty_cache", "reset", "take", "take", "synchronize"]
    measured = measure_peak(lambda: gpu.take(5), DEVICE)
    assert (measured.bytes, measured.source) == (5, "cuda allocator")


def test_a_time_is_that_between_two_events(gpu: Gpu) -> None:
    def work() -> None:
        gpu.calls.append("work")
        gpu.milliseconds += 250

    assert timed(work, DEVICE) == 0.25
    assert gpu.calls == ["synchronize", "work", "event"]


def test_a_clock_waits_when_it_is_read(gpu: Gpu) -> None:
    clock = Clock(DEVICE)
    for _ in range(2):
        with clock:
            gpu.milliseconds += 125
    assert gpu.calls == []
    assert clock.seconds() == 0.25
    assert gpu.calls == ["event", "event"]


def test_a_limit_is_a_share_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[float, torch.device]] = []
    properties = SimpleNamespace(name="a GPU", total_memory=16 << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *limit: limits.append(limit))
    limit_memory(DEVICE, 4 << 30)
    limit_memory(DEVICE, 80 << 30)
    assert limits == [(0.25, DEVICE), (1.0, DEVICE)]
