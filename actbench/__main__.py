"""`python -m actbench`, and the command `actbench`."""

from __future__ import annotations

import os
import signal
from types import FrameType


def main() -> None:
    """Runs the command line. An interruption is one line and exit code 130, also while modules are imported."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # elsewhere somebody decided otherwise, as `nohup` does
        signal.signal(signal.SIGINT, _leave)
    from actbench.cli import main as run

    try:
        signal.signal(signal.SIGINT, usual)
        run()
    except KeyboardInterrupt:
        _leave()


def _leave(number: int = 0, frame: FrameType | None = None) -> None:
    """Leaves at once: nothing is begun yet, and a module that is being imported might catch an exception."""
    os.write(2, b"actbench: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    main()
