"""A network and images of one's own, from the command line to a record that is verified."""

import json
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from actbench.records.record import Record
from actbench.records.store import read_record
from tests.workloads.own.small import write_classes, write_networks, write_pairs

RUN = ["run", "--methods", "none", "--ceilings", "8x", "--device", "cpu"]
SEGMENTATION = ["--model", "nets.py:Several", "--task", "segmentation", "--data", "pairs", "--name", "masks"]


def actbench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "actbench", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=folder,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("own")
    write_networks(place)
    write_classes(place / "classes")
    random = numpy.random.default_rng(0)
    write_pairs(place / "pairs", {name: random.integers(0, 3, (16, 16)).astype("uint8") for name in "abcdefgh"})
    return place


@pytest.fixture(scope="module")
def records(folder: Path) -> dict[str, Record]:
    done = actbench(folder, *RUN, *SEGMENTATION)
    assert done.returncode == 0, done.stderr
    assert "mean-iou %" in done.stdout
    read = [read_record(path) for path in (folder / "results" / "records" / "masks").glob("*.json")]
    return {record.cell.method.name: record for record in read}


def test_a_record_says_what_was_measured_and_nothing_of_the_machine(folder: Path, records: dict[str, Record]) -> None:
    assert set(records) == {"none", "quantize"}
    record = records["quantize"]
    assert record.status == "ok"
    assert record.cell.workload.own == {"model": "nets.py:Several", "task": "segmentation"}
    assert record.measurements.quality is not None
    assert record.measurements.quality.images == 8
    text = record.model_dump_json()
    assert str(folder) not in text
    assert str(Path.home()) not in text


def test_the_same_again_runs_nothing_and_another_network_does(folder: Path, records: dict[str, Record]) -> None:
    done = actbench(folder, *RUN, *SEGMENTATION, "--dry-run")
    assert "2 cached" in done.stdout
    source = (folder / "nets.py").read_text()
    try:
        (folder / "nets.py").write_text(source + "\n# another\n")
        assert "2 to run" in actbench(folder, *RUN, *SEGMENTATION, "--dry-run").stdout
    finally:
        (folder / "nets.py").write_text(source)


def test_the_suite_that_is_kept_says_the_same(folder: Path, records: dict[str, Record]) -> None:
    suite = folder / "results" / "suites" / "masks.toml"
    assert str(folder) not in suite.read_text()
    done = actbench(folder.parent, *RUN, "--suite", str(suite), "--results", str(folder / "results"), "--dry-run")
    assert "2 cached" in done.stdout, done.stderr
    report = json.loads(actbench(folder, "maps", "--suite", str(suite), "--json").stdout)
    assert [row["name"] for row in report["maps"]] == ["net.2", "net.4"]
    by_name = actbench(folder, "maps", "--model", "nets.py:Several", "--input", "3,16,16", "--json")
    assert json.loads(by_name.stdout) == report


@pytest.mark.slow
def test_a_record_is_measured_again(folder: Path, records: dict[str, Record]) -> None:
    done = actbench(folder, "verify", str(folder / "results" / "records" / "masks"), "--data", "pairs")
    assert "2 of 2 records hold" in done.stdout or "latency" in done.stdout, done.stdout + done.stderr
    assert "quality: " not in done.stdout


def test_a_record_is_of_the_files_that_it_was_measured_with(folder: Path, records: dict[str, Record]) -> None:
    place = str(folder / "results" / "records" / "masks")
    same = actbench(folder, "verify", place, "--data", "pairs", "--environment-only")
    assert "2 of 2 records hold" in same.stdout
    other = actbench(folder, "verify", place, "--data", "classes", "--environment-only")
    assert other.returncode == 2
    assert "are not for segmentation" in other.stderr
    assert "needs --data" in actbench(folder, "verify", place).stderr
    away = actbench(folder.parent, "verify", place, "--data", str(folder / "pairs"))
    assert "cannot read nets.py" in away.stderr


def test_a_board_has_the_command(folder: Path, records: dict[str, Record]) -> None:
    from actbench.leaderboard.site import command_of

    command = command_of(records["quantize"].cell)
    assert command.startswith(
        "actbench run --model nets.py:Several --task segmentation --name masks --methods quantize"
    )


MISTAKES = {
    "no task": (["--model", "nets.py:dense", "--data", "pairs"], "say --task too"),
    "no data": (["--model", "nets.py:dense", "--task", "depth"], "say --data too"),
    "no model": (["--task", "depth"], "--task goes with --model"),
    "two": ([*SEGMENTATION, "--workload", "shapes"], "name one workload"),
    "taken": ([*SEGMENTATION[:-1], "shapes"], "--name shapes is a workload that is registered"),
    "shape": ([*SEGMENTATION, "--input", "16"], "--input '16': write channels, height and width"),
    "mean": ([*SEGMENTATION, "--mean", "a", "--std", "1"], "--mean 'a': write a number for each channel"),
}
LATE = {
    "function": (["--model", "nets.py:nothing", *SEGMENTATION[2:]], "nets.py has no 'nothing'"),
    "size": ([*SEGMENTATION, "--input", "3,4,4", "--output", "9"], "network's outputs are out, aux; name one"),
}


@pytest.mark.parametrize(("arguments", "says"), [*MISTAKES.values(), *LATE.values()], ids=[*MISTAKES, *LATE])
def test_mistakes_are_one_line(folder: Path, arguments: list[str], says: str) -> None:
    done = actbench(folder, *RUN, *arguments, "--results", "mistakes")
    assert done.returncode == 2, done.stdout
    (line,) = [line for line in done.stderr.splitlines() if "machine busy" not in line]
    assert says in line
    assert {path.name for path in (folder / "mistakes").rglob("*") if path.is_file()} <= {".claims"}


def test_a_network_is_examined_with_the_arguments_that_a_run_has(folder: Path) -> None:
    from safetensors.torch import save_file

    from actbench.cli.own import model_alone

    head = model_alone("torchvision:mobilenet_v3_small", None, "a,b,c").classifier[-1]
    assert head.out_features == 3
    save_file(model_alone(f"{folder / 'nets.py'}:dense", None, None).state_dict(), folder / "dense.safetensors")
    fitting = ["--input", "3,16,16", "--weights", "dense.safetensors"]
    done = actbench(folder, "doctor", "--model", "nets.py:dense", *fitting)
    assert done.returncode == 0, done.stderr
    assert "maps: 2;" in done.stdout
    for verb in ("doctor", "maps"):
        other = actbench(folder, verb, "--model", "nets.py:classifier", *fitting)
        assert other.returncode == 2
        assert "dense.safetensors does not fit" in other.stderr
    wanted = ["--model", "torchvision:mobilenet_v3_small", "--input", "3,64,64", "--weights", "dense.safetensors"]
    assert "--class-names gives the network a head" in actbench(folder, "doctor", *wanted).stderr
    assert actbench(folder, "maps", "--model", "nets.py:dense", "--data", "pairs").returncode == 2


def test_shares_are_printed_as_percent() -> None:
    from actbench.cli.maps import _percent

    assert [_percent(share) for share in (1.43, 0.14, 0.0123, 20)] == ["143 %", "14 %", "1.2 %", "2,000 %"]
