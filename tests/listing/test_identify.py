"""A workload of a plugin is identified in a process of its own."""

import os
from pathlib import Path

import pytest

from actbench.errors import UserError
from actbench.listing.identify import identify
from actbench.listing.plugins import list_plugins

PLUGIN = """
import os, sys, time
from actbench import UserError, WorkloadInfo, hookimpl

def identify(data, weights):
    {body}

@hookimpl
def register_workloads(register):
    register(WorkloadInfo("mine", "Mine", "a.b:C", f"{{__name__}}:identify", "top-1"))
"""


def identified(folder: Path, body: str) -> dict[str, str]:
    file = folder / "mine.py"
    file.write_text(PLUGIN.format(body=body))
    registry = list_plugins([file])
    return identify(registry.workload("mine"), Path("some"), None, registry.files)


def test_digests_come_from_a_process_of_their_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    body = "print('{}'); os.write(1, b'{}'); return {'data': f'{data} {weights}', 'process': str(os.getpid())}"
    digests = identified(tmp_path, body)
    assert digests["data"] == "some None"
    assert int(digests["process"]) != os.getpid()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise UserError('give --data\\n\\x1b[31mDIR')", r"give --data\\n\\x1b\[31mDIR"),
        ("raise RuntimeError('no\\nluck')", "workload mine cannot be identified: RuntimeError: no luck"),
        ("os._exit(3)", "exit code 3"),
        ("sys.exit(3)", "SystemExit"),
        ("os.kill(os.getppid(), 9); time.sleep(100)", "SIGKILL"),
        ("return None", "no digests"),
        ("return {'data': 5}", "no digests"),
        ("return {'data': 'two\\nlines'}", "no digests"),
        ("return ['data']", "no digests"),
    ],
)
def test_what_goes_wrong_is_one_line(body: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says) as caught:
        identified(tmp_path, body)
    assert str(caught.value).isprintable()


def test_workloads_of_actbench_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.Popen", None)
    registry = list_plugins()
    assert set(identify(registry.workload("shapes"), None, None, ())) >= {"weights"}
