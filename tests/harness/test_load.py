"""How busy the machine is, on machines that are made up, and on this one."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from actbench.harness import load
from actbench.harness.load import PASSIVE_WAITS, LoadSample, Watch, busy_line, choose_threads, free_cores, waits, watch
from actbench.harness.quota import quota

Files = dict[str, str]


class Machine:
    """A machine with some processors, of which others use some while time is waited for."""

    def __init__(self, cores: int, others: float = 0.0, ours: float = 0.0, files: Files | None = None) -> None:
        self.cores, self.others, self.ours, self.files = cores, others, ours, files or {}
        self.ticks = 1000.0

    def wait(self, seconds: float) -> None:
        self.ticks += 100 * seconds

    def read(self, path: str) -> str:
        if path == "/proc/stat":
            used = round(self.ticks * (self.others + self.ours) / self.cores)
            row = f"{used} 0 0 {round(self.ticks) - used} 0 0 0 0 7 7"
            return "\n".join([f"cpu {row}", *(f"cpu{number} {row}" for number in range(self.cores)), "intr 5", ""])
        if path == "/proc/self/stat":
            return f"1 (a (name) x) R {'0 ' * 10}{round(self.ticks * self.ours)} 0 0 0 20 0 1"
        if path == "/proc/loadavg":
            return f"{self.others + self.ours} 0 0 1/2 3"
        if path in self.files:
            return self.files[path]
        raise FileNotFoundError(path)


@pytest.fixture(autouse=True)
def _four_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "processors", lambda: set(range(4)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize(
    ("others", "ours", "free", "threads"),
    [(0, 0, 4, 4), (0, 4, 4, 4), (1.2, 1, 2.8, 3), (3.8, 0, 0.2, 1), (4, 0, 0, 1)],
)
def test_what_others_leave_is_free(others: float, ours: float, free: float, threads: int) -> None:
    machine = Machine(4, others, ours)
    assert free_cores(machine.read, machine.wait) == pytest.approx(free, abs=0.25)
    assert choose_threads(None, machine.read, machine.wait) == threads


def test_only_processors_that_may_be_used_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "processors", lambda: {0, 1})
    machine = Machine(64, others=32)
    assert free_cores(machine.read, machine.wait) == pytest.approx(1, abs=0.1)


JOBS = "/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs"
V1 = {f"{JOBS}_quota_us": "150000", f"{JOBS}_period_us": "100000"}


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "250000 100000\n"}, 2.5),
        ({"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/cpu.max": "50000 100000\n"}, 0.5),
        (
            {
                "/proc/self/cgroup": "0::/a/b\n",
                "/sys/fs/cgroup/a/cpu.max": "300000 100000\n",
                "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            },
            3.0,
        ),
        ({"/proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/jobs/mine\n0::/\n", **V1}, 1.5),
        ({"/proc/self/cgroup": "3:cpu,cpuacct:/jobs\n", **V1, f"{JOBS}_quota_us": "-1"}, None),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "garbage"}, None),
    ],
)
def test_the_tightest_group_is_the_quota(files: Files, limit: float | None) -> None:
    machine = Machine(4, files=files)
    assert quota(machine.read) == limit
    assert free_cores(machine.read, machine.wait) == (4 if limit is None else min(4, limit))


@pytest.mark.parametrize(("said", "threads"), [("3", 3), ("2,1", 2), ("", 4), ("many", 4), ("0", 4)])
def test_the_users_number_of_threads_is_kept(said: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    machine = Machine(4)
    assert choose_threads(None, machine.read, machine.wait) == threads
    assert choose_threads(7, machine.read, machine.wait) == 7
    assert choose_threads(0, machine.read, machine.wait) == 1


def test_a_watch_says_what_others_used_meanwhile() -> None:
    machine = Machine(4, others=1, ours=2)
    watched = watch(machine.read)
    machine.wait(10)
    assert watched.stop() == {"start": 3.0, "end": 3.0, "others": pytest.approx(0.25, abs=0.01)}


def test_a_busy_machine_is_said_in_one_line() -> None:
    busy, idle = Machine(4, others=1.4, ours=1), Machine(4, others=0.1, ours=3)
    assert busy_line(busy.read, busy.wait) == "machine busy: others use 1.4 of 4 cores; timings will say so"
    assert busy_line(idle.read, idle.wait) == ""


def test_threads_wait_asleep_only_where_others_need_the_cores() -> None:
    busy, idle = Machine(4, others=1.4, ours=1), Machine(4, others=0.1, ours=3)
    assert waits(busy.read, busy.wait) == PASSIVE_WAITS
    assert waits(idle.read, idle.wait) == {}


@pytest.mark.parametrize("text", [None, "", "cpu0 a b c", "cpu0 1 2"])
def test_where_nothing_is_known_everything_is_free(text: str | None) -> None:
    def read(path: str) -> str:
        if text is None:
            raise FileNotFoundError(path)
        return text

    assert free_cores(read, lambda seconds: None) == 4
    assert busy_line(read, lambda seconds: None) == ""
    assert Watch(read).stop() == {"start": None, "end": None, "others": None}


def test_clocks_that_stand_still_say_nothing() -> None:
    sample = LoadSample(10, 5, 5, 1.0)
    assert load.share_of_others(sample, sample) is None


@pytest.fixture
def busy_process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="needs /proc")
def test_a_busy_process_is_seen(busy_process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    cores = len(load.processors())

    watched = watch()
    time.sleep(1)
    others = watched.stop()["others"]
    assert others is not None
    assert others * cores > 0.3
