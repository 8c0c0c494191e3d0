"""Time on a GPU."""

import time

import pytest
import torch
from torch import nn

from actbench.measure.latency import Clock, timed

pytestmark = pytest.mark.gpu


def test_on_a_gpu_the_work_is_timed_and_not_its_launch() -> None:
    device = torch.device("cuda")
    x = torch.randn(8192, 8192, device=device)
    module = nn.Linear(8192, 8192).to(device)
    with torch.no_grad():
        module(x)
        begin = time.perf_counter()
        module(x)
        launch = time.perf_counter() - begin
        with Clock(device) as watch:
            module(x)
        assert timed(lambda: module(x), device) > 2 * launch
        assert watch.seconds() > 2 * launch
