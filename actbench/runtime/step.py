"""What a step is that can be computed on some rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from actbench.runtime.spans import Span


class RowStep(ABC):
    """A step that computes some rows of its output from some rows of its inputs, all (batch, C, rows, W)."""

    @abstractmethod
    def needs(self, rows: Span) -> list[Span]:
        """The rows of each input that these rows of the output are made of."""

    @abstractmethod
    def run(self, inputs: Sequence[Tensor], rows: Span) -> Tensor:
        """Computes the output's rows from what `needs` says of each input."""

    def scratch(self, rows: Span, read: int, made: int) -> int:
        """Bytes that `run` needs beside its inputs, which have `read` bytes, and its output, which has `made`."""
        return 0

    @property
    def is_view(self) -> bool:
        """Whether the output may be in the memory of an input."""
        return False

    @property
    def overwritable(self) -> Sequence[int]:
        """The places of the inputs that `overwrite` can write into."""
        return ()

    def overwrite(self, inputs: Sequence[Tensor], rows: Span, place: int) -> Tensor:
        """Computes what `run` does into the memory of one of its inputs, by its place, which nobody else reads."""
        raise NotImplementedError
