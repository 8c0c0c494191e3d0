"""Records that are what they say, and records that were edited."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from actbench.harness.executors import CellResult, Listener
from actbench.harness.messages import Preparation
from actbench.harness.run import RunObserver
from actbench.harness.verify import Sources, repeat_records
from actbench.leaderboard.frame import load_verifications
from actbench.records.packed import unpack
from actbench.records.record import Record
from actbench.records.repetition import Check
from actbench.records.skipped import Skipped
from actbench.records.store import read_record
from actbench.registry import load_plugins
from actbench.spec import CellSpec

HOSTILE = Path(__file__).with_name("hostile.py")
ACTBENCH = [sys.executable, "-m", "actbench"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ACTBENCH, *arguments], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of plain quantisation on the tiny workload."""
    results = tmp_path_factory.mktemp("results")
    base = ["run", "--plugin", str(HOSTILE), "--workload", "toy", "--device", "cpu", "--results", str(results)]
    done = run(*base, "--methods", "none", "--ceilings", "6x", "--bits", "w8a2-8")
    assert done.returncode == 0, done.stderr
    (path,) = [path for path in results.rglob("*.json") if "quantize" in path.read_text()]
    return path


def edited(published: Path, folder: Path, change: Any) -> Path:
    data = json.loads(published.read_text())
    change(data)
    path = folder / f"{data['key']}-1.json"
    path.write_text(json.dumps(data))
    return path


def verify(path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return run("verify", str(path), "--plugin", str(HOSTILE), *more)


def test_a_true_record_is_verified(published: Path) -> None:
    done = verify(published)
    # Times on a busy machine may differ: nothing else may.
    differing = [line for line in done.stdout.splitlines() if "differs" in line]
    assert [line for line in differing if "ratio" not in line] == [], done.stdout
    assert ("verified" in done.stdout) == (done.returncode == 0) == (differing == [])


class Replaying:
    """An executor that has a record's measurements at hand. That a cell gives them again is tested above."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def run(self, preparation: Preparation, cells: Sequence[CellSpec], listener: Listener, timeout: float) -> None:
        environment = self._record.environment
        assert environment is not None
        here, measured = environment.model_dump(exclude={"plugin"}), self._record.measurements.model_dump()
        for cell in cells:
            listener.ended(CellResult(cell, "ok", measurements=measured, environment=here))


def differing_from(published: Path, path: Path) -> list[str]:
    """The names of the checks that do not hold of a record, when its cell gives what was published."""
    checks: list[Check] = []
    repeat_records(
        [read_record(path)],
        load_plugins((HOSTILE,)),
        Replaying(read_record(published)),
        Sources(plugin_files=(HOSTILE,)),
        60,
        lambda record, found, repeated: checks.extend(found),
        RunObserver(),
    )
    assert len(checks) > 10
    return [check.name for check in checks if not check.holds]


def test_what_was_not_edited_holds(published: Path) -> None:
    assert differing_from(published, published) == []


def better(data: dict[str, Any]) -> None:
    """All images right, and everything that follows from it."""
    quality = data["measurements"]["quality"]
    images = quality["images"]
    quality |= {"per_image": [1.0] * images, "value": 100.0, "interval": [100.0, 100.0]}
    quality["difference"] = quality["difference_interval"][1] = 100.0 - quality["reference"]


def narrower(data: dict[str, Any]) -> None:
    quality = data["measurements"]["quality"]
    quality["interval"] = [quality["value"], quality["value"]]


def another_image(data: dict[str, Any]) -> None:
    """One image right and another wrong: the same mean."""
    per_image = unpack(data["measurements"]["quality"]["per_image"])
    right, wrong = per_image.index(1), per_image.index(0)
    per_image[right], per_image[wrong] = 0, 1
    data["measurements"]["quality"]["per_image"] = per_image


def worse_reference(data: dict[str, Any]) -> None:
    quality = data["measurements"]["quality"]
    quality["reference"] -= 10
    quality["difference"] += 10
    quality["difference_interval"] = [end + 10 for end in quality["difference_interval"]]


def another_point(data: dict[str, Any]) -> None:
    data["measurements"]["quality"]["reference_point"] = 0.0


def smaller(data: dict[str, Any]) -> None:
    """One bit less of every map, and of all that is made of them."""
    scaled(data, lambda bits: bits - 1)


def scaled(data: dict[str, Any], change: Any) -> None:
    footprint = data["measurements"]["footprint"]
    for part in footprint["maps"]:
        part["bits"] |= dict.fromkeys(("mean", "percentile_99", "maximum"), change(part["bits"]["maximum"]))
    bits = [part["bits"]["maximum"] for part in footprint["maps"]]
    for name, together in (("peak", max(bits)), ("traffic", sum(bits))):
        footprint[name] |= dict.fromkeys(("mean", "percentile_99", "maximum"), together)
    footprint["bits_per_value"] = sum(bits) / sum(part["elements"] for part in footprint["maps"])


def swapped(data: dict[str, Any]) -> None:
    maps = data["measurements"]["footprint"]["maps"]
    maps[0]["name"], maps[1]["name"] = maps[1]["name"], maps[0]["name"]


def chosen(data: dict[str, Any]) -> None:
    data["measurements"]["footprint"]["maps"][0]["choices"]["width"] = 99


def lighter(data: dict[str, Any]) -> None:
    data["measurements"]["parameters"]["deployed"] -= 1


def static(data: dict[str, Any]) -> None:
    footprint = data["measurements"]["footprint"]
    footprint["static_bits"] += 7
    footprint["maps"][0]["static_bits"] += 7


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (better, "quality"),
        (better, "values of images"),
        (another_image, "values of images"),
        (narrower, "interval of quality"),
        (worse_reference, "reference quality"),
        (another_point, "reference point"),
        (smaller, "peak bits"),
        (smaller, "bits of each map"),
        (swapped, "feature maps"),
        (chosen, "choices of each map"),
        (lighter, "parameters"),
        (static, "side and static bits"),
    ],
)
def test_an_edited_record_is_not(published: Path, tmp_path: Path, change: Any, says: str) -> None:
    differing = differing_from(published, edited(published, tmp_path, change))
    assert any(says in name for name in differing), differing


def test_the_command_says_what_was_edited(published: Path, tmp_path: Path) -> None:
    done = verify(edited(published, tmp_path, better))
    assert done.returncode == 1
    assert any("quality" in line and "differs" in line for line in done.stdout.splitlines()), done.stdout
    assert "do not hold" in done.stdout


def test_another_environment_is_named_and_nothing_is_run(published: Path, tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        data["spec"]["workload"]["digests"] = {"data": "other"}
        data["spec"]["method"]["version"] = "0"
        data["key"] = CellSpec.from_canonical(data["spec"]).key

    for more in ((), ("--environment-only",)):
        done = verify(edited(published, tmp_path, change), *more)
        assert done.returncode == 1
        assert "2 of 4 checks do not hold" in done.stdout


def respecified(published: Path, folder: Path, **method: Any) -> Path:
    def change(data: dict[str, Any]) -> None:
        data["spec"]["method"] |= method
        data["key"] = CellSpec.from_canonical(data["spec"]).key

    return edited(published, folder, change)


def test_an_option_that_the_method_does_not_have(published: Path, tmp_path: Path) -> None:
    for more in ((), ("--environment-only",)):
        done = verify(respecified(published, tmp_path, options={"magic": 9}), *more)
        assert done.returncode == 2
        assert "method quantize has no option 'magic'" in done.stderr
        assert done.stderr.count("\n") == 1


def test_another_source_is_named(published: Path, tmp_path: Path) -> None:
    plugin = json.loads(published.read_text())["environment"]["plugin"]
    assert plugin["package"] == "actbench"

    def change(data: dict[str, Any]) -> None:
        data["environment"]["plugin"]["source"] = "0" * 64

    done = verify(edited(published, tmp_path, change), "--environment-only")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if "differs" in line]
    assert line.split()[:3] == ["source", "of", "quantize"]
    assert plugin["source"] in run("show", str(published)).stdout

    def forget(data: dict[str, Any]) -> None:
        del data["environment"]["plugin"]

    assert verify(edited(published, tmp_path, forget), "--environment-only").returncode == 0


def test_the_environment_alone(published: Path) -> None:
    done = verify(published, "--environment-only")
    assert done.returncode == 0
    assert "the environment is the same" in done.stdout


def test_what_cannot_be_verified(published: Path, tmp_path: Path) -> None:
    missing = run("verify", str(published))
    assert missing.returncode == 2
    assert "toy" in missing.stderr
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    assert run("verify", str(broken)).returncode == 2


def test_records_of_which_only_the_environment_was_checked_are_not_called_verified(published: Path) -> None:
    done = run("verify", str(published.parents[2]), "--plugin", str(HOSTILE), "--environment-only")
    assert "2 of 2 records hold" in done.stdout, done.stderr
    assert done.stdout.count("the environment is the same") == 2
    assert "verified" not in done.stdout


def test_a_folder_of_records_is_marked(published: Path, tmp_path: Path) -> None:
    folder = published.parents[2]
    done = run("verify", str(folder), "--plugin", str(HOSTILE), "--save")
    assert "of 2 records hold" in done.stdout, done.stderr
    marks = list(folder.rglob("*.verified.json"))
    assert len(marks) == 2
    skipped = Skipped()
    assert len(load_verifications(folder, skipped)) == 2, skipped.reasons
    assert all(json.loads(mark.read_text())["environment"]["machine"]["cores"] for mark in marks)
    listed = run("show", str(published))
    assert listed.returncode == 0, "a mark is no record"
    assert run("verify", str(tmp_path)).returncode == 2
    both = run("verify", str(published), "--save", "--environment-only")
    assert both.returncode == 2


def test_another_processor_rounds_otherwise(published: Path, tmp_path: Path) -> None:
    def elsewhere(data: dict[str, Any]) -> None:
        data["environment"]["machine"]["cpu"] = "another"
        scaled(data, lambda bits: bits - 1)

    def more(data: dict[str, Any]) -> None:
        elsewhere(data)
        scaled(data, lambda bits: bits // 2)

    assert differing_from(published, edited(published, tmp_path, elsewhere)) == []
    assert len(differing_from(published, edited(published, tmp_path, more))) == 5, (
        "at most and on average, the largest map, all, and each"
    )


class Noting:
    """An executor that notes cells, and carries out none."""

    def __init__(self) -> None:
        self.methods: list[str] = []

    def run(self, preparation: Preparation, cells: Sequence[CellSpec], listener: Listener, timeout: float) -> None:
        self.methods += [cell.method.name for cell in cells]


def test_a_methods_records_are_repeated_one_after_the_other(published: Path, tmp_path: Path) -> None:
    """A worker that serves one method trains the uncompressed network once for all of them."""

    def of(method: str, seed: int) -> Record:
        def change(data: dict[str, Any]) -> None:
            data["spec"]["seed"] = seed
            data["key"] = CellSpec.from_canonical(data["spec"]).key

        path = next(path for path in published.parent.glob("*.json") if f'"name":"{method}"' in path.read_text())
        return read_record(edited(path, tmp_path, change))

    records = [of(method, seed) for seed in range(3) for method in ("quantize", "none")]
    registry, noting = load_plugins((HOSTILE,)), Noting()
    sources = Sources(plugin_files=(HOSTILE,))
    repeat_records(records, registry, noting, sources, 60, lambda record, checks, repeated: None, RunObserver())
    assert noting.methods == ["none"] * 3 + ["quantize"] * 3
