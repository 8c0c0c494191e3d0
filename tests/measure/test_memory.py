import gc
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from actbench.measure.memory import measure_peak, peak_live_bytes

KIB = 256  # fp32 elements in one KiB
MODES = pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])


def zeros(kib: int = 1) -> Tensor:
    return torch.zeros(kib * KIB)


def add_in_turn(x: Tensor) -> Tensor:
    x = x + 1
    x = x + 1  # now both sums are alive
    return x + 1  # and the first is not


def keep_all(x: Tensor) -> list[Tensor]:
    return [x + i for i in range(5)]


def many_views(x: Tensor) -> list[Tensor]:
    y = x + 1
    return [y[:10], y.view(2, -1), y.reshape(-1, 4).t(), y.detach(), y.expand(7, -1)]


def in_place(x: Tensor) -> Tensor:
    y = x + 1
    y += x
    y[3:5].fill_(7)
    return torch.add(x, 2, out=y.relu_())


def views_of_the_input(x: Tensor) -> Tensor:
    return x.view(2, -1).t().detach().add_(1)


def from_python(x: Tensor) -> Tensor:
    return torch.tensor([1.0] * KIB)


def resized(x: Tensor) -> Tensor:
    y = torch.empty(0)
    y.resize_(3 * KIB)
    y.untyped_storage().resize_(1024)
    y = y.set_(y.untyped_storage(), 0, (KIB,), (1,))
    return torch.cat([y, x])


def cycle(x: Tensor) -> Tensor:
    holder: list[object] = [x + 1]
    holder.append(holder)
    del holder
    return x + 2


@dataclass
class Held:
    part: Tensor


class Holding(nn.Module):
    def forward(self, x: Tensor) -> Held:
        return Held(x + 1)


@MODES
@pytest.mark.parametrize(
    ("run", "kib"),
    [
        (lambda x: x + 1, 1),
        (lambda x: x.double(), 2),
        (lambda x: (x + 1).sum(), 1 + 4 / 1024),
        (add_in_turn, 2),
        (keep_all, 5),
        (many_views, 1),
        (in_place, 1),
        (views_of_the_input, 0),
        (lambda x: torch.zeros(KIB, out=x), 0),
        (lambda x: nn.functional.pairwise_distance(x, x), 2 + 4 / 1024),  # two differences, then the distance
        (lambda x: None, 0),
        (from_python, 1),
        (lambda x: torch.empty(3 * KIB), 3),
        (resized, 3),
        (cycle, 2),
        (lambda x: [Holding()(x), Holding()(x)], 2),
        (lambda x: torch.topk(x, KIB), 1 + 2),
    ],
)
def test_peak_is_the_one_counted_by_hand(
    mode: Callable[[], AbstractContextManager[None]], run: Callable[[Tensor], object], kib: float
) -> None:
    with mode():
        x = zeros()
        assert peak_live_bytes(lambda: run(x)) == kib * 1024
        assert peak_live_bytes(lambda: run(x)) == kib * 1024


def test_freeing_what_was_there_before_makes_no_room() -> None:
    before = [zeros(8)]

    def run() -> Tensor:
        before.clear()
        return zeros(2)

    assert peak_live_bytes(run) == 2 * 1024


def test_growth_of_what_was_there_before_counts() -> None:
    x = zeros(2)
    assert peak_live_bytes(lambda: x.resize_(5 * KIB)) == 3 * 1024


def test_tensors_that_outlive_the_run_do_not_count_in_the_next() -> None:
    kept: list[Tensor] = []
    for _ in range(3):
        assert peak_live_bytes(lambda: kept.append(zeros())) == 1024


def test_backward_by_hand() -> None:
    x = zeros().requires_grad_()

    def run() -> None:
        x.grad = None
        x.exp().exp().sum().backward()

    # Saved: both exponentials, and the sum. Backward starts from 1 (4 bytes, the sum's gradient), expanded without a
    # copy; the first product (1 KiB) comes when all of these are alive. The second frees the outer exponential.
    assert peak_live_bytes(run) == 3 * 1024 + 4 + 4


def small_network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1), nn.Flatten(),
        nn.Linear(4 * 16 * 16, 10),
    )  # fmt: skip


def step(network: nn.Module, images: Tensor) -> Callable[[], object]:
    def run() -> None:
        network.zero_grad()
        network(images).sum().backward()

    return run


def test_training_holds_at_least_the_saved_activations() -> None:
    network, images = small_network(), torch.randn(2, 3, 16, 16)
    # Convolution → batch normalisation → ReLU → convolution → linear layer, two images in fp32.
    saved = 2 * 16 * 16 * 4 * (8 + 8 + 8 + 4)
    gradients = sum(parameter.numel() * 4 for parameter in network.parameters())
    peak = peak_live_bytes(step(network, images))
    assert saved < peak < 2 * saved + gradients
    assert {peak_live_bytes(step(network, images)) for _ in range(3)} == {peak}


def test_checkpointing_lowers_the_peak() -> None:
    blocks = nn.Sequential(*[nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Tanh(), nn.Tanh()) for _ in range(4)])
    x = torch.randn(256, 64, requires_grad=True)

    def recomputed() -> None:
        y = x
        for block in blocks:
            y = checkpoint(block, y, use_reentrant=False)
        y.sum().backward()

    assert peak_live_bytes(recomputed) < 0.7 * peak_live_bytes(lambda: blocks(x).sum().backward())


def test_inference_mode_sees_into_composite_operators() -> None:
    network, images = small_network().eval(), torch.randn(2, 3, 16, 16)
    peaks = set()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            peaks.add(peak_live_bytes(lambda: network(images)))
    assert peaks == {2 * 16 * 16 * 4 * (8 + 8)}  # the first convolution beside its normalisation


def test_the_garbage_collector_does_not_interfere() -> None:
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        assert peak_live_bytes(lambda: cycle(zeros())) == 3 * 1024
    finally:
        gc.set_threshold(*threshold)


def test_an_error_leaves_no_trace() -> None:
    with pytest.raises(ZeroDivisionError):
        peak_live_bytes(lambda: [zeros(), 1 / 0])
    assert gc.isenabled()
    assert peak_live_bytes(zeros) == 1024


def test_tensors_without_a_storage_are_refused() -> None:
    with pytest.raises(NotImplementedError):
        peak_live_bytes(lambda: zeros().to_sparse())


def test_memory_on_the_cpu() -> None:
    memory = measure_peak(zeros, torch.device("cpu"))
    assert (memory.bytes, memory.reserved, memory.source) == (1024, None, "dispatcher")


def test_memory_elsewhere_is_refused() -> None:
    with pytest.raises(ValueError, match="meta"):
        measure_peak(zeros, torch.device("meta"))
