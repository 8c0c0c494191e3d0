"""Every benchmark beside its peers on the same input, and the ratios of their medians at the end."""

from collections import defaultdict
from typing import Any

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    benchmarks = config._benchmarksession.benchmarks  # type: ignore[attr-defined]
    medians: dict[str, dict[str, float]] = defaultdict(dict)
    for one in benchmarks:
        medians[one.group][(one.params or {}).get("method", one.name)] = one.stats.median
    terminalreporter.section("ratios of medians, and throughput")
    for group, of in medians.items():
        for name in of.keys() - {"actbench"} if "actbench" in of else ():
            terminalreporter.write_line(f"{group}: {name} takes {of[name] / of['actbench']:.2f}x the time of actbench")
    for one in benchmarks:
        if size := one.extra_info.get("megabytes"):
            terminalreporter.write_line(f"{one.group} {one.name}: {size / one.stats.median:.1f} MB/s of 8-bit codes")
