"""Where a run takes place: versions, machine, revision; and which device there is, without importing torch."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from actbench import __version__
from actbench.errors import UserError
from actbench.info import OptionValue
from actbench.spec import Device

if TYPE_CHECKING:
    from actbench.records.record import Environment

WantedDevice = Literal["auto", "cpu", "cuda"]
_PACKAGES = ("torch", "torchvision", "numpy")


def choose_device(wanted: WantedDevice) -> Device:
    """The device that is meant: `auto` takes a GPU where there is one. Raises UserError for `cuda` without one."""
    if wanted == "cpu":
        return "cpu"
    if _has_cuda():
        return "cuda"
    if wanted == "cuda":
        raise UserError("device cuda: no usable NVIDIA GPU, or a torch without CUDA; use --device cpu")
    return "cpu"


def check_compiler() -> None:
    """Raises UserError where inductor would find no C++ compiler, or no headers of Python."""
    compiler = os.environ.get("CXX") or ("clang++" if platform.system() == "Darwin" else "g++")
    if shutil.which(compiler) is None:
        raise UserError(f"--compile needs a C++ compiler, and there is no {compiler}: install one, or name it in CXX")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        raise UserError("--compile needs Python's headers (Python.h): install its development package")


def _has_cuda() -> bool:
    """Asks the driver, as torch would, but without loading torch."""
    if "+cpu" in version("torch") or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        count = ctypes.c_int()
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False


def versions() -> dict[str, str]:
    """Versions of actbench, Python and the packages that numbers depend on."""
    installed = {"actbench": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def here() -> Environment:
    """This machine, for a cell that needed no worker."""
    from actbench.records.record import Environment

    return Environment(versions=versions(), machine=_host(), revision=revision())


def machine(device: str) -> dict[str, OptionValue]:
    """What it was measured on. Called in the worker, where torch is loaded."""
    import torch

    from actbench.measure.device import gpu

    described = {**_host(), "threads": torch.get_num_threads(), "device": device}
    if device == "cuda":
        name, memory = gpu(torch.device(device, 0))
        described |= {"gpu": name, "gpu_memory_bytes": memory}
    return described


def revision() -> str | None:
    """The git revision of actbench's own source, where it is run from a checkout; `+` for uncommitted changes."""
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD").strip()
        return commit + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no").strip() else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout


def _host() -> dict[str, OptionValue]:
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
