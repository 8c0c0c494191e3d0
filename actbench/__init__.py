"""actbench: a benchmark suite for activation compression in convolutional networks.

Importing it is cheap: torch is loaded by `actbench.codec.method` and whatever stands on it, never from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench.errors import Unsupported, UserError
from actbench.hookspecs import hookimpl
from actbench.info import MethodInfo, Option, WorkloadInfo, load_target

if TYPE_CHECKING:
    from pandas import DataFrame

    from actbench.api import (
        Compressed,
        CompressedTraining,
        compress,
        compress_training,
        compressed_training,
        export,
        restore,
    )

__version__ = "0.2.0"

__all__ = [
    "Compressed",
    "CompressedTraining",
    "MethodInfo",
    "Option",
    "Unsupported",
    "UserError",
    "WorkloadInfo",
    "__version__",
    "compress",
    "compress_training",
    "compressed_training",
    "export",
    "hookimpl",
    "load_results",
    "restore",
]

_OF_TORCH = (
    *("Compressed", "CompressedTraining", "compress", "compress_training", "compressed_training", "export"),
    "restore",
)


def __getattr__(name: str) -> Any:
    """What needs torch is imported when it is asked for."""
    if name in _OF_TORCH:
        return load_target(f"actbench.api:{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_results(path: str | Path) -> DataFrame:
    """The records of a results folder, or of a published leaderboard, as a tidy data frame: a row a cell.

    Its columns are explained in `actbench.records.columns.COLUMNS`. Raises UserError where there are no records.
    """
    frame: DataFrame = load_target("actbench.leaderboard.frame:load_results")(path)
    return frame
