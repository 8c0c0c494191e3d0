"""Every hook, from a plugin file to what it provides."""

from pathlib import Path

from actbench.info import load_target
from actbench.registry import load_plugins

PLUGIN = """
from actbench import MethodInfo, WorkloadInfo, hookimpl
from actbench.info import ExecutorInfo

class Thing: ...

@hookimpl
def {hook}(register):
    register({info})
"""


def provided(folder: Path, hook: str, info: str) -> Path:
    path = folder / f"{hook}.py"
    path.write_text(PLUGIN.format(hook=hook, info=info))
    return path


def test_register_methods(tmp_path: Path) -> None:
    info = "MethodInfo('own', 'Own', f'{__name__}:Thing', '1')"
    registry = load_plugins([provided(tmp_path, "register_methods", info)])
    assert registry.plugins[-1].provides == ["own"]
    assert load_target(registry.method("own").target).__name__ == "Thing"


def test_register_workloads(tmp_path: Path) -> None:
    info = "WorkloadInfo('own', 'Own', f'{__name__}:Thing', f'{__name__}:Thing', 'top-1')"
    registry = load_plugins([provided(tmp_path, "register_workloads", info)])
    assert registry.plugins[-1].provides == ["own"]
    assert load_target(registry.workload("own").target).__name__ == "Thing"


def test_register_executors(tmp_path: Path) -> None:
    info = "ExecutorInfo('own', 'Own', f'{__name__}:Thing')"
    registry = load_plugins([provided(tmp_path, "register_executors", info)])
    assert registry.plugins[-1].provides == ["own"]
    assert load_target(registry.executor("own").target).__name__ == "Thing"
