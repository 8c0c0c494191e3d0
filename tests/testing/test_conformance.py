"""The conformance kit: every check bites on a method that breaks its rule, and passes a sound one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from actbench.leaderboard.publish import publish
from actbench.records.conformance import load_conformance
from actbench.testing import CHECKS, Subject, conduct
from tests.leaderboard.made_up import record
from tests.testing.broken import NAMES

pytest_plugins = ["pytester"]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "conformance.md"

TEST = """
import pytest

@pytest.mark.actbench({method!r}, plugin=[{plugin!r}])
def test_{name}(check): check()
"""


def written(pytester: pytest.Pytester, methods: list[str]) -> None:
    lines = []
    for method in methods:
        file = "broken_registration.py" if method == "breaks-light-registration" else "broken.py"
        name = method.replace("-", "_")
        lines.append(TEST.format(method=method, plugin=str(HERE / file), name=name))
    pytester.makepyfile(test_kit="\n".join(lines))
    pytester.makeini(f"[pytest]\npythonpath = {ROOT}\n")


def test_every_check_bites(pytester: pytest.Pytester) -> None:
    methods = ["breaks-light-registration", *(f"breaks-{name}" for name in NAMES)]
    assert [method.removeprefix("breaks-") for method in methods] == [check.name for check in CHECKS]
    written(pytester, methods)
    wanted = [
        f"test_kit.py::test_{method.replace('-', '_')}[{check}]" for method, check in zip(methods, CHECKS, strict=True)
    ]
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", *wanted)
    skipped = 0 if torch.cuda.is_available() else 1
    result.assert_outcomes(failed=len(CHECKS) - skipped, skipped=skipped)
    for check in CHECKS:
        if check.name != "gpu" or not skipped:
            result.stdout.fnmatch_lines([f"*check {check.number} ({check.name}): *"])


def test_a_sound_method_passes_all(pytester: pytest.Pytester) -> None:
    written(pytester, ["sound"])
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] + outcomes["skipped"] == len(CHECKS)
    assert outcomes["skipped"] <= 3, "a GPU, gradients, training"


@pytest.mark.parametrize("name", ["quantize", "zvc", "hosvd", "subspace", "none"])
def test_methods_of_ours(name: str) -> None:
    conformance = conduct(Subject(name))
    assert [check for check in conformance.checks if check.status == "failed"] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(Subject("none").registry.methods)))
def test_all_methods_of_ours(name: str) -> None:
    conformance = conduct(Subject(name))
    assert [check for check in conformance.checks if check.status == "failed"] == []


def test_every_check_has_its_section_in_the_documentation() -> None:
    text = PAGE.read_text()
    for check in CHECKS:
        assert f"## {check.number}. {check.name}" in text
        assert check.explanation
        assert check.explanation in text
    assert text.count("\n## ") == len(CHECKS)


def test_the_command_and_the_badge(tmp_path: Path) -> None:
    base = [sys.executable, "-m", "actbench", "check", "breaks-packing", "--plugin", str(HERE / "broken.py")]
    done = subprocess.run([*base, "--out", str(tmp_path)], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1, done.stderr
    assert " 9 packing              failed:" in done.stdout
    conformance = load_conformance(tmp_path)["breaks-packing"]
    assert not conformance.passed
    publish([record("breaks-packing")], tmp_path / "out", "quantize", conformance={"breaks-packing": conformance})
    page = (tmp_path / "out" / "methods" / "breaks-packing.html").read_text()
    assert "9. packing: failed: field" in page
    assert load_conformance(tmp_path / "out") == {"breaks-packing": conformance}
    data = json.loads((tmp_path / "out" / "checks" / "breaks-packing.json").read_text())
    assert [check["number"] for check in data["checks"]] == list(range(1, len(CHECKS) + 1))
