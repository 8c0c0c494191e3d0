"""Plugins that do at import what no plugin should: the body of each, and what is said of it; nothing where it is
harmless to everybody else."""

HEAD = """
import atexit, builtins, json, os, signal, sys, threading, time, warnings
from dataclasses import dataclass
from actbench import MethodInfo, Option, hookimpl
from actbench.info import ExecutorInfo

def info(name="bad", target="package.module:Class", **more):
    return MethodInfo(name, "A title", target, "1", **more)
"""


def registers(body: str) -> str:
    """A plugin whose hook does this."""
    return f"@hookimpl\ndef register_methods(register):\n    {body}"


FINE = "\n" + registers("register(info('fine'))")

HOSTILE = {
    "prints": ("print('[]')" + FINE, ""),
    "prints-in-the-hook": (registers("print('[]'), register(info('fine'))"), ""),
    "writes-to-descriptor-1": ("os.write(1, b'garbage\\n')" + FINE, ""),
    "writes-to-every-descriptor": (
        "for descriptor in range(100):\n    try: os.write(descriptor, b'garbage\\n')\n    except OSError: pass" + FINE,
        "no registration",
    ),
    "forges-an-answer": (
        "for descriptor in range(3, 100):\n"
        '    try: os.write(descriptor, b\'{"registration": {"methods": [{"name": 5}]}}\\n\')\n'
        "    except OSError: pass",
        "no registration",
    ),
    "closes-every-descriptor": ("os.closerange(0, 100); time.sleep(60)", "closed the pipe"),
    "output-without-end": ("while True: os.write(1, b'garbage' * 10000)", "not imported within"),
    "hangs": ("time.sleep(1000)", "not imported within 2 s; ACTBENCH_PLUGIN_SECONDS"),
    "hangs-in-the-hook": (registers("time.sleep(1000)"), "not imported within"),
    "hangs-and-ignores-signals": (
        "for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)\n"
        "while True: pass",
        "not imported within",
    ),
    "hangs-with-children": ("os.fork(); os.fork(); time.sleep(1000)", "not imported within"),
    "leaves-with-0": ("os._exit(0)", "exit code 0"),
    "leaves-with-3": ("os._exit(3)", "exit code 3"),
    "aborts": ("os.abort()", "SIGABRT"),
    "kills-itself": ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    "kills-its-group": ("os.killpg(0, signal.SIGKILL)", "SIGKILL"),
    "terminates-its-parent": ("os.kill(os.getppid(), signal.SIGTERM); time.sleep(1000)", "(SIGTERM)"),
    "kills-its-parent": ("os.kill(os.getppid(), signal.SIGKILL); time.sleep(1000)", "(SIGKILL)"),
    "kills-its-parents-group": ("os.killpg(os.getpgid(os.getppid()), signal.SIGKILL); time.sleep(1000)", "(SIGKILL)"),
    "stops-its-parent": ("os.kill(os.getppid(), signal.SIGSTOP); time.sleep(1000)", "stopped the process"),
    "exits": ("sys.exit('gone')", "SystemExit: gone"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "raises-what-nobody-catches": ("class Mine(BaseException): pass\nraise Mine('so there')", "Mine: so there"),
    "raises-what-cannot-be-said": (
        "class Mine(Exception):\n    def __str__(self): raise RuntimeError\nraise Mine",
        "Mine",
    ),
    "says-it-in-colour": (
        "raise RuntimeError('\\x1b[31mred\\x1b]0;title\\x07\\nand\\x9b more \\ud800')",
        "\\x1b[31mred",
    ),
    "does-not-parse": ("def (", "SyntaxError"),
    "is-no-text": ("\0\0", "SyntaxError"),
    "recurses": ("def deeper(): deeper()\ndeeper()", "RecursionError"),
    "takes-10-gb": ("hoard = bytearray(10 << 30)", "MemoryError"),
    "takes-memory-without-end": ("hoard = []\nwhile True: hoard.append(bytearray(1 << 28))", "Error"),
    "overflows-the-stack": (
        "sys.setrecursionlimit(10**9)\ndef deeper(): list(map(lambda _: deeper(), [0]))\ndeeper()",
        "",
    ),
    "threads-that-go-on": ("for _ in range(9): threading.Thread(target=time.sleep, args=[1000]).start()" + FINE, ""),
    "hangs-at-exit": ("atexit.register(time.sleep, 1000)" + FINE, ""),
    "patches-builtins": ("builtins.len = builtins.isinstance = None" + FINE, "its process ended"),
    "patches-print-and-open": ("builtins.print = builtins.open = builtins.dict = None" + FINE, ""),
    "patches-json": ("json.dumps = json.loads = lambda *given, **more: '[]'" + FINE, ""),
    "patches-os": ("os.write = os._exit = lambda *given: 5" + FINE, ""),
    "patches-actbench": (
        "import actbench.fields, actbench.info\nactbench.info.check_text = lambda *given: None\n"
        + registers("register(MethodInfo('bad', 'two\\nlines', 'a.b:C', '1'))"),
        "one line of printable",
    ),
    "changes-folder-and-path": ("os.chdir('/'); sys.path.clear(); os.environ.clear()" + FINE, ""),
    "warns-in-colour": (registers("warnings.warn('\\x1b[31mred\\n'), register(info('fine'))"), ""),
    "garbage": (registers("register(object())"), "registered object"),
    "title-is-a-number": (registers("register(MethodInfo('bad', 5, 'a.b:C', '1'))"), "give a str, not int"),
    "title-with-escapes": (registers("register(MethodInfo('bad', '\\x1b[2J', 'a.b:C', '1'))"), "one line of printable"),
    "name-with-a-newline": (registers("register(info('bad\\nname'))"), "name 'bad\\nname'"),
    "name-with-escapes": (registers("register(info('bad\\x1b[31m'))"), "name 'bad\\x1b[31m'"),
    "name-is-none": (registers("register(info(None))"), "name None"),
    "tracks-are-a-text": (registers("register(info(tracks='inference'))"), "tracks 'inference': give a tuple"),
    "unknown-track": (registers("register(info(tracks=('racing',)))"), "choose from inference, training"),
    "unknown-role": (registers("register(info(role='winner'))"), "role 'winner'"),
    "options-are-texts": (registers("register(info(options=('a',)))"), "give a tuple of Option"),
    "default-is-nan": (registers("register(info(options=(Option('a', float('nan'), ''),)))"), "finite"),
    "default-is-a-list": (registers("register(info(options=(Option('a', [], ''),)))"), "bool, int, float or str"),
    "default-is-huge": (registers("register(info(options=(Option('a', 10**5000, ''),)))"), "63 bits"),
    "huge-text": (registers("register(MethodInfo('bad', 'x' * 10**8, 'a.b:C', '1'))"), "too long"),
    "huge-version": (registers("register(MethodInfo('bad', '', 'a.b:C', '9' * 10**6))"), "too long"),
    "no-target": (registers("register(info(target='nowhere'))"), "package.module:Class"),
    "target-runs": (registers("register(info(target='os:system(1)'))"), "package.module:Class"),
    "twice": (registers("register(info()), register(info())"), "registered already"),
    "takes-a-name": (registers("register(info('none'))"), "'none' is registered already"),
    "100000-methods": (registers("[register(info(f'bad-{i}')) for i in range(10**5)]"), "more than 1000"),
    "methods-without-end": (registers("while True: register(info())"), "more than 1000"),
    "a-class-of-its-own": (
        "class Mine(MethodInfo):\n    def __post_init__(self): pass\n"
        + registers("register(Mine('bad', b'bytes', 'a.b:C', '1'))"),
        "TypeError",
    ),
    "fields-that-raise": (
        "class Mine(MethodInfo):\n    @property\n    def paper(self): raise KeyError('deep')\n"
        "    paper = paper.setter(lambda self, value: None)\n" + registers("register(MethodInfo.__new__(Mine))"),
        "",
    ),
    "nested-without-end": (
        "deep = []\nfor _ in range(10**5): deep = [deep]\n"
        "class Mine(MethodInfo):\n    def __post_init__(self): pass\n"
        + registers("register(Mine('bad', deep, 'a.b:C', '1'))"),
        "Error",
    ),
}
