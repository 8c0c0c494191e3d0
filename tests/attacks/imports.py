"""Plugins that do at import, or register, what none should: a line in the list, and nothing for anybody else."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from pathlib import Path

from tests.attacks.attempt import Kind, one_by_one
from tests.attacks.commands import actbench, check_refused_or_harmless
from tests.attacks.texts import HOSTILE as TEXTS
from tests.listing.hostile_plugins import FINE, HEAD, HOSTILE, registers

LIMITS = {"ACTBENCH_PLUGIN_SECONDS": "3"}

MORE = {
    "imports-what-is-not-there": "import nothing_like_it",
    "imports-itself": "import bad",
    "raises-a-group": "raise ExceptionGroup('many', [ValueError(n) for n in range(1000)])",
    "raises-with-a-cause-without-end": "error = ValueError()\nerror.__cause__ = error\nraise error",
    "raises-a-huge-text": "raise ValueError('x' * 10**8)",
    "raises-a-class-with-a-strange-name": "raise type('\\x1b[2J\\n', (Exception,), {})('x')",
    "stops-iterating": "raise StopIteration",
    "leaves-a-generator": "raise GeneratorExit",
    "exits-with-a-text": "sys.exit('\\x1b[31mred\\nlines')",
    "segfaults": "import ctypes\nctypes.string_at(0)",
    "alarms": "signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(1000)",
    "traces": "def trace(*given): raise KeyError\nsys.settrace(trace)" + FINE,
    "hooks-imports": "class Mine:\n    def find_spec(*given): raise KeyError\nsys.meta_path.insert(0, Mine())" + FINE,
    "hooks-exceptions": "sys.excepthook = sys.unraisablehook = None\nraise KeyError" + FINE,
    "deletes-modules": "sys.modules.clear()" + FINE,
    "deletes-itself": "os.unlink(__file__)" + FINE,
    "starts-a-session": "os.setsid() if os.getpid() != os.getsid(0) else None\ntime.sleep(1000)",
    "double-forks": "if os.fork() == 0:\n    os.setsid()\n    time.sleep(1000)\n    os._exit(0)" + FINE,
    "limits-itself": "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))" + FINE,
    "deep-recursion-in-the-hook": registers("register_methods(register)"),
    "keeps-the-register": "@hookimpl\ndef register_methods(register):\n    threading.Thread(target=register).start()",
    "registers-later": "@hookimpl\ndef register_methods(register):\n    atexit.register(register, info('late'))",
    "another-hook": "@hookimpl\ndef register_nothing(register): pass",
    "a-hook-without-arguments": "@hookimpl\ndef register_methods(): pass",
    "a-hook-that-is-no-function": "register_methods = hookimpl(5)",
    "a-workload-without-a-metric": "from actbench import WorkloadInfo\n@hookimpl\ndef register_workloads(register):\n"
    "    register(WorkloadInfo('bad', '', 'a.b:C', 'a.b:c', None))",
    "an-executor-that-is-none": "@hookimpl\ndef register_executors(register):\n    register(info())",
    "options-without-end": registers("register(info(options=tuple(Option(f'o{i}', 1, '') for i in range(10**5))))"),
    "two-options-of-one-name": registers("register(info(options=(Option('a', 1, ''), Option('a', 2, ''))))"),
    "choices-of-another-type": registers("register(info(options=(Option('a', 1, '', ('x',)),)))"),
    "a-role-of-another": registers("register(info('mine', role='baseline'))"),
    "a-text-like-a-name": registers("register(info(type('Mine', (str,), {'__eq__': lambda *_: True})('none')))"),
    "a-null-byte": registers("register(info('a\\0b'))"),
    "a-path": registers("register(info('../../x'))"),
    "a-target-elsewhere": registers("register(info(target='../x:y'))"),
    "not-utf-8": "'\udcff'",
}


def attempts(chance: random.Random) -> Mapping[str, str]:
    """The bodies of plugins, some of which register a hostile text that is drawn."""
    texts = {f"says {text!r}": saying(text) for text in chance.sample(TEXTS, 20)}
    return {name: body for name, (body, _) in HOSTILE.items()} | MORE | texts


def saying(text: str) -> str:
    return registers(f"register(MethodInfo('bad', {text!r}, 'a.b:C', {text!r}, paper={text!r}))")


def check_listed(body: str, folder: Path) -> None:
    """Raises AssertionError where a plugin changes what is said of others, or what is printed obeys it."""
    os.environ.update(LIMITS)
    bad, sound = folder / "bad.py", folder / "sound.py"
    bad.write_bytes((HEAD + body).encode("utf-8", "surrogateescape"))
    sound.write_text(HEAD + FINE.replace("fine", "sound"))
    both = ["--plugin", str(bad), "--plugin", str(sound)]
    said = actbench("plugins", "--json", *both)
    assert (said.code, said.err) == (0, ""), said.text[:1000]
    reports = {report["name"]: report for report in json.loads(said.out)}
    assert reports["sound"]["provides"] == ["sound"]
    assert reports["bad"]["error"].isprintable()
    assert len(reports["bad"]["error"]) <= 500
    assert [name for name, report in reports.items() if report["error"] and name != "bad"] == []
    for verb in ("methods", "plugins"):
        check_refused_or_harmless(actbench(verb, *both))


AT_IMPORT = Kind("at import", 92, attempts, one_by_one(check_listed, 90))
