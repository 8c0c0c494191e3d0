"""What the tests of several floors share."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import settings

from actbench.budget import Bits, Budget, Ceiling
from actbench.measure.device import has_gpu
from actbench.plugin_sources import SWITCHED_OFF
from actbench.records.record import Record
from actbench.settings import Training
from actbench.spec import CellSpec, MethodSpec, WorkloadSpec

collect_ignore = ["downstream"]
"""Packages of their own: `tox -e downstream` installs them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that are marked `gpu` say that there is none."""
    if not has_gpu():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="there is no GPU here"))


# A busy machine is no defect. Half of the usual examples: `tox -e search` draws many more, and others.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("search", deadline=None, derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _a_cache_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACTBENCH_PLUGIN_SECONDS", "100")  # some plugins of tests import torch
        patch.setenv("ACTBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _plugins_stay_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that a test carries out in its own process may switch plugins off, in the environment."""
    monkeypatch.delenv(SWITCHED_OFF, raising=False)


@pytest.fixture(scope="session")
def cell() -> CellSpec:
    """A cell in which no field has its default."""
    return CellSpec(
        WorkloadSpec("shapes", {"weights": "aa11", "data": "bb22"}, limit=64),
        MethodSpec("prochan", "3", {"rank": 4, "start": "pca", "shift": 0.5, "fold": True}),
        Budget(Ceiling.parse("traffic:2.5x"), Bits.parse("w8a2-8")),
        seed=7,
        settings=Training(steps=200),
        device="cuda",
    )


@pytest.fixture(scope="session")
def make_record(cell: CellSpec) -> Callable[..., Record]:
    """A record of `cell`; any of its fields may be given."""

    def make(**fields: Any) -> Record:
        values = {"status": "ok", "started": "2025-01-01T00:00:00+00:00", "seconds": 1.5}
        return Record.model_validate({"key": cell.key, "spec": cell.canonical()} | values | fields)

    return make
