"""What records, plugins and file names say is shown on the terminal, and never obeyed by it."""

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from actbench.budget import Bits, Budget, Ceiling
from actbench.cli import main
from actbench.cli.progress import RunProgress
from actbench.cli.tables import new_table, print_whole, say
from actbench.records.record import Record
from actbench.records.store import Store
from actbench.settings import Inference
from actbench.spec import CellSpec, MethodSpec, WorkloadSpec

CONTROLS = [chr(code) for code in [*range(0x20), *range(0x7F, 0xA0)]]
BIDI = [chr(code) for code in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))]
SEQUENCES = [
    "\x1b[2J\x1b[H",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]52;c;cm0gLXJmIC8=\x07",
    "\x1bP+q544e\x1b\\",
    "\x9b31m",
    "\x9d0;title\x9c",
    "status: crash\rstatus: ok   ",
    "a\nactbench: all is well",
    "\r\n\x1b[1A\x1b[2K",
    "back\x08\x08\x08\x08",
    "\u2028line\u2029paragraph",
    "\ufeff\u200b\u00ad\u2060",
    "\U000e0041\U000e007f",
    "\ufff9a\ufffab\ufffb",
]
MARKUP = [
    "[red]x[/red]",
    "[/]",
    "[/bold]",
    "[link=https://example.org]x[/link]",
    "[@click=app.bell]x",
    "\\[bold]",
    "x\\",
    ":smile:",
    "[bold]\x1b[31m",
]
FOREIGN = [*CONTROLS, *BIDI, *SEQUENCES, *MARKUP]


def hostile(text: str, **more: Any) -> Record:
    """A record that says a text wherever a record can say one."""
    cell = CellSpec(
        WorkloadSpec(text or "w", {text: text}),
        MethodSpec(text, text, {text: text}),
        Budget(Ceiling.parse("8x"), Bits.parse("w8a8")),
        settings=Inference(),
    )
    return Record.model_validate(
        {
            "key": cell.key,
            "spec": cell.canonical(),
            "status": "crash",
            "reason": text,
            "started": text,
            "seconds": 1.0,
            "environment": {"versions": {text: text}, "machine": {text: text}, "revision": text},
            "warnings": [text, f"first\n{text}"],
        }
        | more
    )


def is_harmless(printed: str) -> bool:
    return all(line.isprintable() for line in printed.split("\n"))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command line: what it prints, on a terminal without colours, which would be escape sequences of ours."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["actbench", *arguments])
        with pytest.raises(SystemExit):
            main()
        said = capsys.readouterr()
        return said.out + said.err

    return run


def test_there_are_many_texts() -> None:
    assert len(set(FOREIGN)) == len(FOREIGN) > 100


@pytest.mark.parametrize("text", FOREIGN, ids=ascii)
def test_a_record_is_shown(text: str, run: Callable[..., str], tmp_path: Path) -> None:
    path, _ = Store(tmp_path).add(hostile(text))
    for arguments in (["show", str(path)], ["show", "--json", str(path)], ["compare", str(path), str(path)]):
        assert is_harmless(run(*arguments)), arguments
    if text in MARKUP[:-1]:
        assert run("show", str(path)).count(text) >= 8


@pytest.mark.parametrize("text", FOREIGN, ids=ascii)
def test_tables_lines_and_progress(text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from rich.markup import escape

    table = new_table()
    table.add_column("a column")
    table.add_row(escape(text))
    print_whole(table)
    say(text)
    assert is_harmless(capsys.readouterr().out)
    stream = io.StringIO()
    for terminal in (False, True):
        record = hostile(text)
        console = Console(file=stream, force_terminal=terminal, width=200, color_system=None)
        with RunProgress([record.cell], console) as bar:
            bar.started(record.cell)
            bar.step(text, 1, 2)
            bar.ended(record, tmp_path)
    printed = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", stream.getvalue())
    assert is_harmless(printed)


def test_a_workers_last_words_are_shown_in_lines(run: Callable[..., str], tmp_path: Path) -> None:
    path, _ = Store(tmp_path).add(hostile("m", warnings=["first\nsecond\x1b[2J\r\nthird"]))
    assert "  1: first\n      second\\x1b[2J\n      third\n" in run("show", str(path))


@pytest.mark.parametrize("text", SEQUENCES, ids=ascii)
def test_plugins_that_register_such_text(text: str, run: Callable[..., str], tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import actbench\n"
        "@actbench.hookimpl\n"
        "def register_methods(register):\n"
        f"    register(actbench.MethodInfo('m', {text!r}, 'a:b', {text!r}))\n"
    )
    broken = tmp_path / "broken.py"
    broken.write_text(f"raise RuntimeError({text!r})\n")
    both = ["--plugin", str(plugin), "--plugin", str(broken)]
    for verb in ("methods", "workloads", "plugins"):
        assert is_harmless(run(verb, *both)), verb
    assert is_harmless(run("run", "--methods", "m", "--dry-run", *both))
    assert is_harmless(run("run", "--methods", "n", "--dry-run", *both))


@pytest.mark.parametrize("text", SEQUENCES, ids=ascii)
def test_file_names(text: str, run: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / text.replace("/", "∕")
    path.write_text("{}")
    for arguments in (["show", str(path)], ["compare", str(path), str(path)], ["run", "--suite", str(path)]):
        assert is_harmless(run(*arguments)), arguments
