"""The command line as a user meets it: what it prints, how it ends, what it loads."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HOSTILE = Path(__file__).parents[1] / "harness" / "hostile.py"
TORCH_FREE = """
import sys
from actbench.cli import app
try:
    app(sys.argv[1:], standalone_mode=False)
finally:
    heavy = {name.partition('.')[0] for name in sys.modules} & {"torch", "torchvision", "pandas", "tensorly", "pywt"}
    print("loaded:", sorted(heavy), file=sys.stderr)
"""


def actbench(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    base = [sys.executable, "-m", "actbench"]
    return subprocess.run([*base, *arguments], capture_output=True, text=True, timeout=60, check=False, **more)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["methods"],
        ["methods", "--json"],
        ["workloads"],
        ["plugins"],
        ["run", "--help"],
        ["run", "--methods", "prochan,wcc", "--dry-run"],
    ],
)
def test_light_commands_load_no_torch(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TORCH_FREE, *arguments], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "loaded: []" in done.stderr


def test_the_start_loads_nothing_that_only_records_need() -> None:
    code = "import sys, actbench.cli; print([name for name in ('pydantic', 'numpy', 'pandas') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_show_loads_no_torch(tmp_path: Path) -> None:
    record = tmp_path / "nothing.json"
    done = subprocess.run(
        [sys.executable, "-c", TORCH_FREE, "show", str(record)], capture_output=True, text=True, check=False
    )
    assert "loaded: []" in done.stderr


NET = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, by_value=False):
        super().__init__()
        self.first, self.last, self.by_value = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 1), by_value
    def forward(self, x):
        x = self.first(x)
        if self.by_value and x.sum() > 0: x = -x
        return {"out": self.last(x.relu()), "aux": x}
def by_value(): return Net(True)
"""


def test_doctor_says_what_was_found_and_why_not(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    done = actbench("doctor", "--model", "net.py:Net", "--input", "3,8,8", "--output", "out", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert (found["way"], found["maps"], found["traffic"], found["identity_error"]) == ("fx", 1, 4 * 64, 0)
    assert found["outputs"] == "2×8×8"
    done = actbench("doctor", "--model", "net.py:Net", "--input", "3,8,8", cwd=tmp_path)
    assert "a dictionary of out, aux" in done.stdout
    assert "steps that need whole maps: none" in done.stdout
    done = actbench("doctor", "--model", "net.py:by_value", "--input", "3,8,8", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "net.py:10: if self.by_value and x.sum() > 0" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_maps_of_a_workload_are_those_that_are_measured(tmp_path: Path) -> None:
    done = actbench("maps", "--workload", "shapes", "--ceiling", "8x", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["peak"] == 8 * report["limit"] == 1_572_864
    assert report["maps"][0]["name"] == "stage1.0.branch.0.0"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--methods", "prochn"], "did you mean prochan"),
        (["run", "--methods", ","], "--methods is empty"),
        (["run", "--methods", "none", "--workload", "shape"], "did you mean shapes"),
        (["run", "--methods", "none", "--workload", "cifar10-resnet20"], "--weights FILE"),
        (["run", "--methods", "none", "--data", "."], "leave --data out"),
        (["run", "--methods", "none", "--weights", "gone.safetensors"], "cannot read gone.safetensors"),
        (["run", "--methods", "none", "--ceilings", "0x"], "write a factor of at least 1"),
        (["run", "--methods", "none", "--ceilings", "0"], "write a factor of at least 1"),
        (["run", "--methods", "none", "--bits", "w8"], "write weights and activations"),
        (["run", "--methods", "none", "--seeds", "a"], "whole numbers"),
        (["run", "--methods", "none", "--device", "tpu"], "is not one of 'auto', 'cpu', 'cuda'"),
        (["run", "--methods", "none", "--retry", "all"], "is not one of 'failed'"),
        (["run", "--methods", "none", "--option", "none.x=1"], "has no option 'x'"),
        (["run", "--methods", "none", "--option", "x"], "METHOD.NAME=VALUE"),
        (["run", "--methods", "none", "--executor", "slurm"], "no executor 'slurm'"),
        (["run", "--methods", "none", "--plugin", "gone.py"], "does not exist"),
        (["run"], "name what to run with --methods"),
        (["run", "--suite", "gone.toml"], "--suite gone.toml: No such file"),
        (["run", "--methods", "wcc", "--recipe", "mine", "--recover", "2"], "is not one of 'protocol', 'paper'"),
        (["run", "--methods", "wcc", "--recipe", "paper"], "give a number of steps with --recover"),
        (["show", "gone.json"], "cannot read record"),
        (["run", "--nonsense"], "No such option"),
        (["ruin"], "No such command"),
        (["maps"], "name one network"),
        (["maps", "--model", "torchvision:resnet18", "--workload", "shapes"], "name one network"),
        (["maps", "--workload", "shape"], "did you mean shapes"),
        (["maps", "--model", "resnet18"], "torchvision:NAME"),
        (["maps", "--model", "torchvision:resnet19"], "no model 'resnet19'"),
        (["maps", "--model", "gone:f"], "No module named"),
        (["maps", "--model", "torchvision:resnet18", "--input", "3,0,5"], "channels, height and width"),
        (["doctor", "--model", "torchvision:resnet18", "--input", "3"], "channels, height and width"),
        (["doctor", "--model", "torchvision:resnet18", "--input", "4,32,32"], "does not accept an image of 4×32×32"),
        (["doctor", "--model", "gone.py:net"], "there is no file gone.py"),
        (["maps", "--model", "torchvision:alexnet", "--input", "3,8,8"], "does not accept an image"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], says: str, tmp_path: Path) -> None:
    done = actbench(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("actbench: ")
    assert not list(tmp_path.rglob("*.json"))


def test_a_damaged_checkpoint_is_one_line_and_no_record(tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\x10\0\0\0\0\0\0\0not a header at all")
    done = actbench("run", "--methods", "none", "--weights", str(broken), cwd=tmp_path)
    assert done.returncode == 2
    (said,) = (line for line in done.stderr.splitlines() if not line.startswith("machine busy"))
    assert "cannot read checkpoint" in said
    assert not list(tmp_path.rglob("*.json"))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "ran",))

    evil = tmp_path / "evil.pt"
    evil.write_bytes(pickle.dumps(Evil()))
    done = actbench("run", "--methods", "none", "--weights", str(evil), cwd=tmp_path)
    assert done.returncode == 2
    assert len([line for line in done.stderr.splitlines() if not line.startswith("machine busy")]) == 1
    assert not (tmp_path / "ran").exists()


def test_a_damaged_record_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text('{"format": 1, "status":')
    done = actbench("show", str(record))
    assert done.returncode == 2
    assert str(record) in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_plugin_that_fails_to_import_is_listed_and_stops_nobody(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import a_module_that_is_not_there\n")
    listed = actbench("plugins", "--plugin", str(broken), "--json")
    report = next(plugin for plugin in json.loads(listed.stdout) if plugin["name"] == "broken")
    assert "a_module_that_is_not_there" in report["error"]
    assert "prochan" in actbench("methods", "--plugin", str(broken)).stdout


def test_debug_shows_the_traceback() -> None:
    assert "Traceback" in actbench("--debug", "run", "--methods", "prochn").stderr


def test_maps_prints_the_published_ranks() -> None:
    done = actbench("maps", "--model", "torchvision:resnet18", "--ceiling", "4x", "--maps", "conv-inputs", "--json")
    report = json.loads(done.stdout)
    assert [row["rank"] for row in report["maps"]] == [16] * 5 + [64] * 4 + [256] * 4 + [512] * 3
    assert round(report["total_ratio"], 1) == 2.3
    keys = {"name", "channels", "height", "width", "elements", "rank", "stored_bits", "producer", "consumers", "shared"}
    assert keys <= set(report["maps"][0])
    assert {"ceiling", "peak", "traffic", "total_ratio"} <= set(report)
    waiting = sorted(report["beside_maps"].values())
    assert waiting == [32 * 512, 32 * 512 * 49, 32 * 256 * 196, 32 * 128 * 784], "the classifier's vector, and branches"


def test_dry_run_says_what_is_cached_to_run_and_unsupported(tmp_path: Path) -> None:
    base = ["--plugin", str(HOSTILE), "--workload", "toy", "--ceilings", "2x", "--bits", "w8a8", "--results", "r"]
    before = actbench("run", "--methods", "raising", *base, "--dry-run", "--recover", "2", "--json", cwd=tmp_path)
    states = {cell["spec"]["method"]["name"]: cell["state"] for cell in json.loads(before.stdout)}
    assert states == {"none": "to run", "quantize": "to run", "raising": "unsupported"}
    actbench("run", "--methods", "none", *base, cwd=tmp_path)
    after = actbench("run", "--methods", "raising", *base, "--dry-run", cwd=tmp_path)
    assert "cached: ok" in after.stdout
    assert "1 to run" in after.stdout


def planned(*arguments: str, cwd: Path) -> list[dict[str, object]]:
    done = actbench("run", *arguments, "--ceilings", "8x", "--dry-run", "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_only_published_recipes_are_run(tmp_path: Path) -> None:
    arguments = ("--methods", "wcc,hosvd", "--recover", "2", "--recipe", "paper")
    cells = {cell["spec"]["method"]["name"]: cell for cell in planned(*arguments, cwd=tmp_path)}
    assert {name: cell["spec"].get("recipe", "protocol") for name, cell in cells.items()} == {
        "none": "protocol",
        "quantize": "protocol",
        "wcc": "paper",
        "hosvd": "paper",
    }
    assert cells["wcc"]["reason"] == ""
    assert cells["hosvd"]["reason"] == "no published recipe of hosvd is known: leave out --recipe paper"
