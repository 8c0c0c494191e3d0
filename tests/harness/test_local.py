"""When a fresh worker takes over."""

from pathlib import Path

import pytest

from actbench.budget import Bits, Ceiling
from actbench.harness.executors import CellResult, Listener, Places, local, warm
from actbench.harness.messages import Preparation
from actbench.harness.schedule import RunRequest, cells_of
from actbench.registry import load_plugins

HOSTILE = Path(__file__).with_name("hostile.py")


@pytest.mark.parametrize(("share", "workers"), [(1.0, 1), (0.0, 3)])
def test_a_worker_that_holds_much_memory_makes_room(
    share: float, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    class Counted(warm._Process):
        def __init__(self) -> None:
            super().__init__()
            started.append(self._process.pid)

    monkeypatch.setattr(warm, "_Process", Counted)
    monkeypatch.setattr(warm, "_MOST_OF_MEMORY", share)
    ceilings, bits = (Ceiling.parse("1x"),), (Bits.parse("w32a32"),)
    request = RunRequest("toy", ("waiting",), ceilings, bits)
    cells = cells_of(request, load_plugins([HOSTILE]))
    ended: list[CellResult] = []
    listener = Listener(lambda cell: None, lambda step, done, total: None, ended.append)
    local.Local(Places()).run(Preparation("toy", "cpu", plugin_files=(HOSTILE,)), cells, listener, 60)
    assert [result.status for result in ended] == ["ok"] * 3
    assert len(set(started)) == workers
