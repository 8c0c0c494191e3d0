"""What a cell may take: memory that is free when it begins, and no file once its images are there."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHARE_OF_FREE = 0.9
"""The rest is for those who watch, so that what leaks fails itself, and not the machine."""

_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def limit_memory(most: int | None) -> None:
    """Lets allocations fail that go beyond `most` bytes, by default beyond most of what is free now. Shared and mapped
    memory counts as well as one's own."""
    allowed = most if most is not None else int(_SHARE_OF_FREE * free_memory())
    limit = _mapped() + allowed
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def forbid_files() -> None:
    """Lets writing to files fail: from here on nothing can be carried past a payload on a disk. Pipes still work."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@contextmanager
def files_allowed() -> Iterator[None]:
    """Lets compilers write files; whoever enters it runs no code of a method meanwhile."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def free_memory() -> int:
    """Bytes that can be had without swapping: of the machine, or of the control group where that has less."""
    return min(_available(), *(_left_in_group(*paths) for paths in _CGROUPS))


def killed_for_memory() -> int:
    """How often the system has ended a process because memory ran out, since it started; 0 where it does not say."""
    return _number(Path("/proc/vmstat"), r"^oom_kill (\d+)$")


def _available() -> int:
    kibibytes = _number(Path("/proc/meminfo"), r"^MemAvailable: +(\d+) kB$")
    return 1024 * kibibytes or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _left_in_group(most: str, used: str) -> int:
    try:
        return int(Path(most).read_text()) - int(Path(used).read_text())
    except (OSError, ValueError):  # there is none, or it has no limit
        return 1 << 62


def _mapped() -> int:
    return 1024 * _number(Path("/proc/self/status"), r"^VmSize:\s+(\d+) kB$")


def _number(path: Path, pattern: str) -> int:
    try:
        match = re.search(pattern, path.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(match[1]) if match else 0
