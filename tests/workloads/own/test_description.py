"""What is said of a network and images of one's own: what is in a key, and what is refused before any code runs."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest

from actbench.errors import UserError
from actbench.workloads.own.code import Code
from actbench.workloads.own.description import Description, arguments_of
from tests.workloads.own.small import write_classes, write_networks, write_pairs


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_networks(tmp_path)
    write_classes(tmp_path / "classes")
    return tmp_path


def described(**more: Any) -> Description:
    values = {"model": "nets.py:classifier", "task": "classification", "data": "classes"}
    return Description.from_json(values | more)


def test_a_key_has_names_of_files_and_digests_of_what_is_in_them(folder: Path) -> None:
    (folder / "weights.pt").write_bytes(b"some")
    (folder / "quality.py").write_text("def metric(): ...\n")
    nearby = described(weights="weights.pt", metric="quality.py:metric", input=[3, 8, 8])
    absolute = nearby.in_folder(folder)
    assert str(folder) in str(absolute)
    assert nearby.canonical() == absolute.canonical()
    assert nearby.canonical() == {
        "model": "nets.py:classifier",
        "task": "classification",
        "metric": "quality.py:metric",
        "input": [3, 8, 8],
    }
    assert absolute.with_paths(lambda path: Path(path).relative_to(folder).as_posix()) == nearby
    assert nearby.digests() == absolute.digests()
    assert set(nearby.digests()) == {"model", "metric", "data", "weights"}
    assert nearby.name == "nets-classifier"


def test_descriptions_survive_json_and_the_command_line() -> None:
    full = described(mean=[0.5], std=[0.25], class_names=["a", "b"], output="out", ignore=3, scale=2.0, name="mine")
    assert Description.from_json(json.loads(json.dumps(full.to_json()))) == full.in_folder(Path.cwd())
    again = Description.from_canonical(full.canonical(), "mine", Path("classes"), "")
    assert again == full
    words = arguments_of("mine", full.canonical())
    assert words[words.index("--class-names") + 1] == "a,b"
    assert words[-2:] == ["--name", "mine"]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "nets.py").write_text("def classifier(): ...\n"),
        lambda folder: (folder / "classes" / "train" / "class-000" / "0.png").write_bytes(b"other"),
        lambda folder: (folder / "layers.py").write_text("WIDTH = 9\n"),
        lambda folder: (folder / "parts" / "__init__.py").write_text("DEPTH = 9\n"),
    ],
    ids=["model", "data", "a file that it imports", "a package that is imported there"],
)
def test_another_content_is_another_digest(folder: Path, change: Callable[[Path], object]) -> None:
    with (folder / "nets.py").open("a") as file:
        file.write("from layers import WIDTH\n")
    (folder / "layers.py").write_text("import numpy\nimport parts.deep\n")
    (folder / "parts").mkdir()
    for name in ("__init__", "deep"):
        (folder / "parts" / f"{name}.py").write_text("")
    before = described().digests()
    assert described().digests() == before
    change(folder)
    assert described().digests() != before


def test_what_is_beside_and_not_imported_is_in_no_digest(folder: Path) -> None:
    before = described().digests()
    (folder / "notes.py").write_text("raise SystemExit\n")
    assert described().digests() == before


LIGHT = """
import sys
from actbench.cli import main
sys.argv[1:] = "run --methods none --model nets.py:classifier --task classification --data classes --dry-run".split()
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
assert "torch" not in sys.modules
"""


def test_nothing_of_the_users_runs_and_no_torch_is_loaded(folder: Path) -> None:
    (folder / "nets.py").write_text("raise SystemExit('it ran')\n")
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "to run" in done.stdout


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "task": ({"task": "sorting"}, "--task 'sorting': choose from classification"),
    "model": ({"model": "resnet18"}, "write FILE.py:NAME, torchvision:NAME or timm:NAME"),
    "file": ({"model": "nowhere.py:net"}, "cannot read nowhere.py: No such file"),
    "python": ({"model": "broken.py:net"}, r"broken.py is no Python: SyntaxError: .*\(broken.py:1\)"),
    "metric": ({"metric": "mae"}, "classification has top-1, top-5"),
    "data": ({"data": "nowhere"}, "there is no such folder"),
    "weights": ({"weights": "nowhere.pt"}, "cannot read nowhere.pt"),
    "mean": ({"mean": [0.5]}, "--mean and --std together"),
    "std": ({"mean": [0.5], "std": [0.0]}, "are above 0"),
    "name": ({"name": "My Net"}, "lower-case letters"),
    "unknown": ({"colour": "red"}, "describes no network"),
    "type": ({"input": ["a"]}, "describes no network"),
    "class": ({"class_names": ["class-000", "class-001", "cat"]}, "class 'class-002' is none of the 3 classes"),
    "archive": ({"data": "damaged.npz"}, "damaged: it is no archive"),
    "form": ({"task": "segmentation"}, "are not for segmentation, which wants folders train/images/"),
}


@pytest.mark.parametrize(("more", "says"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_one_line(folder: Path, more: dict[str, Any], says: str) -> None:
    (folder / "broken.py").write_text("def net(:\n")
    (folder / "damaged.npz").write_bytes(b"nothing")
    with pytest.raises(UserError, match=says) as raised:
        described(**more).digests()
    assert "\n" not in str(raised.value)


def test_a_part_that_is_missing(folder: Path) -> None:
    (folder / "classes" / "test").rename(folder / "classes" / "spare")
    with pytest.raises(UserError, match="has no folder test or val"):
        described().digests()
    (folder / "classes" / "spare").rename(folder / "classes" / "val")
    assert described().digests()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("file,label\na.png,1\n", "no column 'split'"),
        ("file,label,split\na.png,1,train\n", "no row of the split test or val"),
        ("file,label,split\nb.png,1,train\na.png,1,test\n", r"labels.csv:2: there is no file b.png"),
    ],
)
def test_tables_that_lack_something(folder: Path, table: str, says: str) -> None:
    (folder / "table").mkdir()
    (folder / "table" / "labels.csv").write_text(table)
    (folder / "table" / "a.png").touch()
    with pytest.raises(UserError, match=says):
        described(data="table").digests()


def test_a_table_of_classes_is_none_of_labels_for_pixels(folder: Path) -> None:
    (folder / "table").mkdir()
    (folder / "table" / "labels.csv").write_text("file,label,split\na.png,1,train\na.png,1,test\n")
    (folder / "table" / "a.png").touch()
    with pytest.raises(UserError, match=r"labels.csv:2: there is no file 1; for segmentation a label is the file"):
        described(data="table", task="segmentation").digests()


def test_labels_of_a_table(folder: Path) -> None:
    place = folder / "table"
    (place / "images").mkdir(parents=True)
    for name in "abc":
        (place / "images" / f"{name}.png").touch()
    (place / "labels.csv").write_text("split,label,file,by\ntrain,dog,a.png,x\ntrain,ant,b.png,y\nval,dog,c.png,z\n")
    layout = described(data="table").layout
    assert [sample.target for sample in layout.samples("train")] == [1, 0]
    assert layout.classes == 2
    named = described(data="table", class_names=["dog", "ant", "owl"]).layout
    assert [sample.target for sample in named.samples("train")] == [0, 1]
    with pytest.raises(UserError, match=r"labels.csv:3: class 'ant' is none of the 2 classes dog, owl"):
        described(data="table", class_names=["dog", "owl"]).digests()
    (place / "labels.csv").write_text("file,label,split\na.png,1 2,train\nb.png,3,train\nc.png,4 5,test\n")
    with pytest.raises(UserError, match=r"labels.csv:3: 1 numbers, and 2 in the first row"):
        described(data="table", task="regression").digests()
    (place / "labels.csv").write_text("file,label,split\na.png,1.5 2,train\nb.png,3 x,test\n")
    with pytest.raises(UserError, match="label '3 x' is no number"):
        described(data="table", task="regression").digests()


@pytest.mark.parametrize("way", ["parts outside", "parts inside"])
def test_pairs(folder: Path, way: str) -> None:
    place = write_pairs(folder / "pairs", {"one": numpy.zeros((8, 8), numpy.uint8)})
    if way == "parts inside":
        for part in ("train", "test"):
            for what in ("images", "labels"):
                (place / what).mkdir(exist_ok=True)
                (place / part / what).rename(place / what / part)
            (place / part).rmdir()
    layout = described(data="pairs", task="segmentation").layout
    (sample,) = layout.samples("test")
    assert Path(sample.image).name == Path(str(sample.target)).name == "one.png"
    Path(str(sample.target)).unlink()
    with pytest.raises(UserError, match=r"one.png has no label"):
        described(data="pairs", task="segmentation").digests()


def test_a_record_names_no_folder() -> None:
    for part, value in (("model", "/tmp/other.py:net"), ("metric", "../m.py:f"), ("data", "a/b.py:c")):
        with pytest.raises(UserError, match="names a folder"):
            Description.from_canonical({**described().canonical(), part: value}, "mine", Path("classes"), "")


def test_code_is_a_file_and_a_name() -> None:
    assert Code.parse("nets.py:net") == Code(Path("nets.py"), "net")
    assert str(Code.parse("/home/me/nets.py:net")) == "nets.py:net"
    assert [Code.parse(text) for text in ("nets.py", "timm:net", "nets.py:", "nets.py:a b")] == [None] * 4
    assert replace(described(), model="nets.py:dense").name == "nets-classifier"
