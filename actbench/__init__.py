"""actbench: a benchmark suite for activation compression in convolutional networks.

Importing it is cheap: torch is loaded by `actbench.method` and whatever stands on it, never from here.
"""

from actbench.errors import Unsupported, UserError
from actbench.hookspecs import hookimpl
from actbench.info import MethodInfo, Option, WorkloadInfo

__version__ = "0.1.0"

__all__ = ["MethodInfo", "Option", "Unsupported", "UserError", "WorkloadInfo", "__version__", "hookimpl"]
