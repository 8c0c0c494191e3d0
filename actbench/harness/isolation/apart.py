"""Computes something in a process of its own, and keeps only what came out."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from actbench.errors import Unsupported, UserError
from actbench.harness.isolation.tensors import memory_file

_FAILED, _UNSUPPORTED = 1, 2


def computed_apart(work: Callable[[int], None], what: str, new_file: Callable[[str], int] = memory_file) -> int:
    """Has `work` fill a file, by default one in memory, in a forked process, and gives the file. What it needed on the
    way is gone with that process: threads, caches, images. Raises UserError with the reason where it fails, and
    Unsupported where it raises that."""
    result, reasons = new_file(what), memory_file("reasons")
    process = os.fork()
    if process == 0:
        _work(work, result, reasons)
    _, status = os.waitpid(process, 0)
    try:
        if status:
            kind = Unsupported if os.waitstatus_to_exitcode(status) == _UNSUPPORTED else UserError
            raise kind(_reason(reasons) or f"{what}: the process that computes it ended with status {status}")
    finally:
        os.close(reasons)
    return result


def one_line(error: BaseException) -> str:
    """An error with its place: `TypeError: wrong (model.py:7)`."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text} ({os.path.basename(frame.filename)}:{frame.lineno})"


def _work(work: Callable[[int], None], result: int, reasons: int) -> NoReturn:
    code = _FAILED
    try:
        work(result)
        code = 0
    except Unsupported as error:
        code = _UNSUPPORTED
        os.write(reasons, str(error).encode())
    except UserError as error:
        os.write(reasons, str(error).encode())
    except BaseException as error:
        os.write(reasons, one_line(error).encode())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _reason(reasons: int) -> str:
    return os.pread(reasons, 10_000, 0).decode(errors="replace")
