"""Settings of torch that belong to everybody: as they were, whatever ran in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def torch_state_kept() -> Iterator[list[str]]:
    """Restores torch's global settings and random numbers afterwards; the list then names what had been changed."""
    changed: list[str] = []
    before = _settings()
    random = torch.get_rng_state()
    try:
        yield changed
    finally:
        after = _settings()
        changed += [name for name, value in before.items() if after[name] != value]
        torch.set_default_dtype(before["default dtype"])
        torch.set_default_device(before["default device"])
        torch.set_grad_enabled(before["gradients"])
        torch.set_num_threads(before["threads"])
        torch.use_deterministic_algorithms(before["deterministic algorithms"])
        torch.set_float32_matmul_precision(before["precision of products"])
        torch.set_rng_state(random)


def _settings() -> dict[str, Any]:
    return {
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "precision of products": torch.get_float32_matmul_precision(),
    }
