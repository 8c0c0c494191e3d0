"""Claims between processes: one has them, and whoever ends gives them back."""

import subprocess
import sys
from pathlib import Path

from actbench.records.claims import Claims

KEYS = ["0" * 20, "f" * 20, "0123456789abcdef0123", "0123456789abcdef0124"]

HOLD = """
import sys
from pathlib import Path
from actbench.records.claims import Claims
with Claims(Path(sys.argv[1])) as claims:
    print([claims.take(key) for key in sys.argv[2:]], flush=True)
    for line in sys.stdin:
        claims.give_back(line.strip())
        print("given back", flush=True)
"""


def holder(file: Path, *keys: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLD, str(file), *keys]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_claim_is_one_process_s_until_it_gives_it_back_or_ends(tmp_path: Path) -> None:
    file = tmp_path / "results" / ".claims"
    with Claims(file) as claims:
        assert claims.take(KEYS[0])
        other = holder(file, *KEYS)
        # The last two are one place in the file: they have the same first digits.
        assert said(other) == "[False, True, True, True]"
        assert not claims.take(KEYS[1])
        assert not claims.take(KEYS[3])
        assert other.stdin is not None
        other.stdin.write(KEYS[1] + "\n")
        other.stdin.flush()
        assert said(other) == "given back"
        assert claims.take(KEYS[1])
        other.kill()
        other.wait()
        assert claims.take(KEYS[2])
    assert file.read_bytes() == b""
    assert [path.name for path in file.parent.iterdir()] == [".claims"]


def test_claims_end_with_their_holder(tmp_path: Path) -> None:
    with Claims(tmp_path / ".claims") as claims:
        assert claims.take(KEYS[0])
    other = holder(tmp_path / ".claims", KEYS[0])
    assert said(other) == "[True]"
    other.communicate("")
