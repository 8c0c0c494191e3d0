"""`actbench fit`, on a small network and images of a user's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workloads.own.small import write_classes, write_networks

OWN = ("--model", "nets.py:classifier", "--data", "images", "--task", "classification", "--weights", "random")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    write_networks(folder)
    write_classes(folder / "images")
    return folder


def actbench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "300"}
    return subprocess.run(
        [sys.executable, "-m", "actbench", *words], capture_output=True, text=True, cwd=folder, env=environment
    )


def fit(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return actbench(folder, "fit", "--memory", "3KiB", "--methods", "quantize,svd", *OWN, *more)


def test_from_a_question_to_a_choice_and_the_command_that_repeats_it(folder: Path) -> None:
    done = fit(folder, "--max-loss", "100")
    assert done.returncode == 0, done.stderr
    taken = next(line for line in done.stdout.splitlines() if line.startswith("take "))
    assert taken.split()[1].strip(":") in ("quantize", "svd")
    assert 0 < float(taken.split("maps at once ")[1].removesuffix(" KiB")) <= 3
    again = next(line for line in done.stdout.splitlines() if line.startswith("again: "))
    repeated = actbench(folder, *again.removeprefix("again: actbench ").split(), "--dry-run")
    assert "3 cached" in repeated.stdout or "2 cached" in repeated.stdout, repeated.stdout + repeated.stderr
    assert "to run" not in repeated.stdout


def test_what_is_measured_already_is_not_measured_again_and_is_the_same_as_json(folder: Path) -> None:
    fit(folder, "--max-loss", "100")
    chosen = json.loads(fit(folder, "--max-loss", "100", "--json").stdout)
    assert chosen["taken"] in {record["key"] for record in chosen["records"]}
    assert {record["attempt"] for record in chosen["records"]} == {1}
    assert all(record["measurements"]["footprint"]["live"]["peak"] <= 3 * 8192 for record in chosen["records"][1:])


def test_nothing_within_the_limits(folder: Path) -> None:
    done = fit(folder, "--max-loss", "0", "--max-latency", "0.001x")
    assert done.returncode == 1
    assert "nothing is within the limits at live:3KiB w8a2-8" in done.stdout
    assert "no: quantize" in done.stdout


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--memory", "3"], "--memory '3': write a size with KiB or MiB"),
        (["--memory", "3KB"], "as in 256KiB"),
        (["--memory", "3KiB", "--max-loss", "-1"], "--max-loss"),
        (["--memory", "3KiB", "--max-loss", "nan"], "--max-loss"),
        (["--memory", "3KiB", "--max-loss", "inf"], "--max-loss"),
        (["--memory", "3KiB", "--max-latency", "1e999x"], "as in 1.5x"),
        (["--memory", "3KiB", "--max-latency", "fast"], "as in 1.5x"),
        (["--memory", "3KiB", "--methods", "no-such"], "no-such"),
    ],
)
def test_wrong_input_is_one_line(folder: Path, more: list[str], said: str) -> None:
    done = actbench(folder, "fit", *more)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
