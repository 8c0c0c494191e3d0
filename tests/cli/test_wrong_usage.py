"""Wrong command lines: exit code 2 and one line on standard error, whatever was typed."""

import sys
from pathlib import Path

import pytest

from actbench.cli import main
from actbench.registry import load_plugins

NONE = ["run", "--methods", "none", "--device", "cpu"]
LONG = "n" * 300
MANY = "9" * 5000

VALUES = {
    "--seeds": ["²", "-1", "0,0", "0,00", "1.5", "1e3", "0x1", "", " ", ",", "٣", "one", "1 2", "0,\x1b[2J"],
    " --seeds": ["9" * 19, str(10**23), MANY, f"0,{10**23}"],
    "--memory": ["8", "8GB", "-1GiB", "0GiB", "²GiB", "9999999GiB", ""],
    "--timeout": ["inf", "-inf", "nan", "0", "-1", "1e300", "1e10", "soon", "", "²"],
    "--limit": ["0", "-1", "1.5", "²", "many", "", str(10**23), MANY],
    "--recover": ["-1", "1.5", "", str(10**23)],
    "--track training --last": ["²", "0", "-1", "1.5", "", "most", str(10**23), MANY],
    "--ceilings": ["0x", "0.5x", "0.999999x", f"{10**12}x", f"1.{MANY}x", "1e9x", "x", "8", "", "infx", "nanx", "-8x"],
    " --ceilings": ["٨x", "8×", "traffic:", "live:8", "8x;4x", "8x,0x"],
    "--bits": ["w8", "a8", "w0a8", "w8a8-2", "w99a9", "w8a17", "", "w٨a٨", f"w{MANY}a8"],
    "--option": ["x", "none.x=1", "=", ".=", "", "wcc.levels", "wcc.levels=²", "wc.levels=1", f"wcc.levels={MANY}"],
    "--results": [LONG, f"{LONG}/a", "a file", "a file/below", "/proc/nowhere", "dangling", "", "a\0b"],
    "--data": ["", "a\0b", "."],
    "--weights": ["", "\0", ".", "/dev/zero", "pipe", LONG],
    "--plugin": ["", "a\0b.py", LONG],
    "--workload": ["", "\x1b]0;title\x07", "\u202eseπahs", "shapes\nactbench: all is well", "\udcff"],
    "--workload mobilenet-v2 --data": [LONG, "a file", "."],
    "--executor": ["", "\x1b[2J"],
    "--suite": ["", ".", LONG, "deep.toml", "wide.toml"],
}

LINES: list[list[str]] = [
    *([*NONE, *option.split(), value] for option, values in VALUES.items() for value in values),
    [*NONE, "--option", "wcc.levels=1", "--option", "wcc.levels=1"],
    [*NONE, "--option", "wcc.levels=1", "--option", "wcc.levels=2"],
    [*NONE, "--methods", "wcc"],
    [*NONE, "--option", "wcc.levels=1"],
    [*NONE, "--compute", "int4"],
    [*NONE, "--compute", "int8", "--bits", "w32a32"],
    [*NONE, "--compute", "int8", "--bits", "w8a8,w9a8"],
    [*NONE, "--limit", "5", "--limit", "6"],
    [*NONE, "--results", "a", "--results", "b"],
    [*NONE, "--dry-run", "--dry-run"],
    [*NONE, "--results", LONG, "--dry-run"],
    ["run", "--methods", ""],
    ["run", "--methods", "\udcff"],
    ["run", "none"],
    ["show", ""],
    ["show", "."],
    ["show", LONG],
    ["show", "a\0b"],
    ["show", "a", "b"],
    ["compare", LONG, LONG],
    ["compare", "", ""],
    ["compare", "a file", "a file"],
    ["check", ""],
    ["check", "none", "--out", "a file"],
    ["check", "none", "--out", LONG],
    ["layer"],
    ["layer", "--shape", "1,2,3"],
    ["layer", "--shape", "1,2,3,0"],
    ["layer", "--shape", "1,2,3,²"],
    ["layer", "--shape", f"1,1,1,{MANY}"],
    ["layer", "--shape", "1,2,8,8", "--workload", "shapes"],
    ["layer", "--shape", "1,2,8,8", "--methods", "gone"],
    ["layer", "--shape", "1,2,8,8", "--methods", "quantize,group-quantize"],
    ["layer", "--shape", "1,2,8,8", "--map", "conv9"],
    ["layer", "--workload", "gone"],
    ["maps", "--model", ""],
    ["maps", "--model", ":f"],
    ["maps", "--model", "..:f"],
    ["maps", "--model", "sys:exit"],
    ["maps", "--model", "json:\0"],
    ["maps", "--model", "torchvision:alexnet", "--input", "²,3,3"],
    ["maps", "--model", "torchvision:alexnet", "--input", f"3,{MANY},3"],
    ["maps", "--workload", "shapes", "--weights", LONG],
    ["maps", "--workload", "shapes", "--workload", "shapes"],
    ["new-method", ""],
    ["new-method", "a\0b"],
    ["new-method", "a", "--dir", "a file"],
    ["\x1b[2J"],
    [""],
    ["a\0b"],
    ["--nonsense"],
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").write_text("")
    (tmp_path / "dangling").symlink_to("/proc/nowhere/at all")
    (tmp_path / "pipe").symlink_to("/dev/null")
    (tmp_path / "deep.toml").write_text("a = " + "[" * 100_000)
    (tmp_path / "wide.toml").write_text(f"a = {MANY}")
    return tmp_path


@pytest.mark.parametrize("arguments", LINES, ids=lambda arguments: ascii(" ".join(arguments))[-60:])
def test_one_line_and_exit_code_2(
    arguments: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["actbench", *arguments])
    before = sorted(folder.rglob("*"))
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr()
    assert left.value.code == 2
    assert said.out == ""
    assert said.err.startswith("actbench: ")
    assert said.err.count("\n") == 1
    assert said.err[:-1].isprintable()
    assert "Traceback" not in said.err
    assert sorted(folder.rglob("*")) == before


def test_there_are_many_of_them() -> None:
    assert len({tuple(line) for line in LINES}) == len(LINES) >= 100


def test_results_that_cannot_be_written_stop_a_run_before_its_first_cell(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from actbench.harness.executors.local import Local

    monkeypatch.setattr(Local, "run", lambda *_: pytest.fail("a cell was started"))
    monkeypatch.setattr(sys, "argv", ["actbench", *NONE, "--results", "/proc/nowhere"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "--results: cannot write into /proc/nowhere" in capsys.readouterr().err


def test_what_may_be_repeated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = load_plugins().method("wcc").options
    given = [text for option in options for text in ("--option", f"wcc.{option.name}={option.default}")]
    assert len(options) > 1
    monkeypatch.setattr(sys, "argv", ["actbench", "run", "--methods", "wcc", "--dry-run", "--seeds", "1, 2,", *given])
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code


def test_what_is_compiled_needs_a_compiler(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(sys, "argv", ["actbench", *NONE, "--compile"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err == (
        "actbench: --compile needs a C++ compiler, and there is no no-such-compiler: install one, or name it in CXX\n"
    )
