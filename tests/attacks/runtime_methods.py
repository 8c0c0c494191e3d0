"""A plugin of methods that do, while they plan, what no method should; and honest ones that are run after them."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import locale
import os
import random
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from actbench import MethodInfo, hookimpl
from actbench.codec import Budget, MapStatistics, Network, Payload, Plan
from tests.attacks import cheating_codecs
from tests.harness.reaching import OfCodec, Plain

HERE = "actbench_plugin_runtime_methods"


class Mine(BaseException):
    """What nobody catches."""


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def raises(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def forks(count: int) -> None:
    for _ in range(count):
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)


def leaves_a_daemon() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)


def ignores_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(600)


def overflows_the_stack() -> None:
    sys.setrecursionlimit(10**9)

    def deeper(depth: int) -> Any:
        return list(map(deeper, [depth + 1]))

    deeper(0)


def floods(descriptor: int) -> None:
    for _ in range(200):
        os.write(descriptor, b"\x1b[2J{}\n" * 10_000)


def threads() -> None:
    for _ in range(50):
        threading.Thread(target=time.sleep, args=[600]).start()


def traces() -> None:
    def trace(*_: object) -> Any:
        raise Mine("traced")

    sys.settrace(trace)


def patch(owner: Any, *names: str, to: Any = None) -> Callable[[], None]:
    return lambda: [setattr(owner, name, to) for name in names] and None


RUNTIME: dict[str, Callable[[], Any]] = {
    "exits": lambda: os._exit(0),
    "segfaults": lambda: ctypes.string_at(0),
    "aborts": os.abort,
    "kills-itself": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "kills-its-group": lambda: os.killpg(0, signal.SIGKILL),
    "kills-its-worker": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "stops-itself": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "ignores-signals": ignores_signals,
    "raises-mine": raises(Mine("so there")),
    "raises-what-cannot-be-said": raises(Unsayable()),
    "raises-in-colour": raises(ValueError("\x1b[31mred\x1b]0;title\x07\nsecond \u202e line")),
    "interrupts": raises(KeyboardInterrupt()),
    "stops-iterating": raises(StopIteration()),
    "cancels": raises(asyncio.CancelledError()),
    "raises-a-long-text": raises(ValueError("x" * 10**7)),
    "overflows-the-stack": overflows_the_stack,
    "takes-a-terabyte": lambda: bytearray(1 << 40),
    "closes-descriptors": lambda: os.closerange(0, 1000),
    "forks": lambda: forks(30),
    "leaves-a-daemon": leaves_a_daemon,
    "starts-threads": threads,
    "floods-output": lambda: floods(1),
    "floods-errors": lambda: floods(2),
    "traces": traces,
    "limits-files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0)),
    "limits-memory": lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20)),
    "patches-json": patch(json, "dumps", "loads"),
    "patches-os": patch(os, "write", "read", "fork", "_exit"),
    "patches-clocks": patch(time, "perf_counter", "monotonic", to=lambda: 0.0),
    "patches-payloads": patch(Payload, "bits_per_image", to=lambda *_, **__: torch.zeros(1)),
    "freezes-garbage": lambda: (gc.freeze(), gc.disable()),
    "counts-down": lambda: signal.setitimer(signal.ITIMER_REAL, 0.05),
}


def sets_threads() -> None:
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)


GLOBALS: dict[str, Callable[[], Any]] = {
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "device": lambda: torch.set_default_device("meta"),
    "seeds": lambda: (torch.manual_seed(99), np.random.seed(99), random.seed(99)),
    "thread-counts": sets_threads,
    "gradients": lambda: torch.set_grad_enabled(False),
    "inference-mode": lambda: torch.inference_mode().__enter__(),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
    "denormals": lambda: torch.set_flush_denormal(True),
    "mkldnn": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "convolutions": patch(nn.Conv2d, "forward", to=lambda self, x: x[:, :1].expand(-1, self.out_channels, -1, -1)),
    "functions": patch(torch, "round", "allclose", to=lambda *_, **__: True),
    "environment": lambda: os.environ.clear(),
    "folder": lambda: os.chdir("/"),
    "locale": lambda: (locale.setlocale(locale.LC_ALL, "C"), os.umask(0o777)),
    "signals": lambda: [signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGCHLD)],
    "path": lambda: (sys.path.clear(), sys.meta_path.clear(), sys.path_hooks.clear()),
    "recursion": lambda: sys.setrecursionlimit(200),
    "warnings": lambda: warnings.simplefilter("error"),
    "modules": lambda: [sys.modules.pop(name) for name in list(sys.modules) if name.startswith("actbench.")],
    "stdout": lambda: (setattr(sys, "stdout", None), setattr(sys, "stderr", None)),
    "print-options": lambda: (torch.set_printoptions(precision=1), np.seterr(all="raise")),
}


class Doing(Plain):
    """Does something, and plans honestly then."""

    action: Callable[[], Any]

    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        type(self).action()
        return super().plan(network, stats, budget)


class Unplanned(Plain):
    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Any:
        return None


class Misplanned(Plain):
    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Any:
        return Plan({fmap.name: "a codec" for fmap in network.maps})  # type: ignore[dict-item]


class Noting(Plain):
    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        notes = tuple(f"\x1b[2J\n\u202e{number}" for number in range(10_000))
        return Plan(super().plan(network, stats, budget).codecs, notes)


METHODS: dict[str, type[Plain]] = {"unplanned": Unplanned, "misplanned": Misplanned, "noting": Noting}
for _name, _action in (RUNTIME | GLOBALS).items():
    METHODS[_name] = type(_name, (Doing,), {"action": staticmethod(_action)})
for _kind in cheating_codecs.CODECS:
    METHODS[_kind.__name__.lower()] = type(_kind.__name__, (OfCodec,), {"kind": _kind})
for _number in range(1 + len(GLOBALS)):
    METHODS[f"plain-{_number}"] = Plain
for _name, _method in METHODS.items():
    globals()[f"M_{_name}".replace("-", "_")] = _method


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    for name in METHODS:
        register(MethodInfo(name=name, title=name, target=f"{HERE}:M_{name}".replace("-", "_"), version="1"))
