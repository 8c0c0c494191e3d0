"""Code tables: for groups of components the frequencies of their symbols, counted on calibration images."""

from __future__ import annotations

import numpy
import torch
from torch import Tensor, nn

from actbench_plugins.pca.range_coder import PRECISION, Integers, Symbols

_SYMBOLS = 512
"""The most symbols of a table, those about zero; others are escaped."""

_LOWEST_OCTAVE, _PER_OCTAVE = -3.0, 2
"""Deviations below 2^−3 of a step share a group; above, each half octave has one."""


class Tables(nn.Module):
    """One table for each group of components. A table has the symbols that the group takes on calibration images, from
    `low` on, without gaps, and one more, the escape; each has a frequency of at least 1 of 2^14.

    Static are the frequencies, 16 bits each, the components' groups, and the groups' sizes and `low`.
    """

    group: Tensor
    low: Tensor
    size: Tensor
    frequency: Tensor

    def __init__(self, codes: Tensor, deviations: Tensor) -> None:
        """Counts `codes` (images, C, positions) of the calibration images; `deviations` (C,) of the components, in
        steps."""
        super().__init__()
        self.register_buffer("group", groups_of(deviations))
        tables = [_counted(codes[:, self.group == number]) for number in range(int(self.group.max()) + 1)]
        self.register_buffer("low", torch.tensor([low for low, _ in tables], dtype=torch.int16))
        self.register_buffer("size", torch.tensor([len(counted) for _, counted in tables], dtype=torch.int16))
        self.register_buffer("frequency", torch.cat([counted for _, counted in tables]).to(torch.int16))

    def symbols(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (images, C, positions) → symbols, numbered through all tables, and which of them are escapes. All codes
        and symbols are int32."""
        low, size, first = self._of_components()
        # Without its sign a negative number is larger than any table: one comparison finds both kinds of escape.
        index = torch.minimum((codes - low).bitwise_and_(torch.iinfo(torch.int32).max), size - 1)
        escaped = index == size - 1
        return index.add_(first), escaped

    def codes(self, symbols: Tensor) -> tuple[Tensor, Tensor]:
        """The codes that `symbols` turned into symbols, and where an escape stands in place of one."""
        low, size, first = self._of_components()
        index = symbols - first
        escaped = index == size - 1
        return index.add_(low), escaped

    def frequencies(self) -> tuple[Integers, Integers]:
        """The frequency of each symbol (symbols,), and the sum of those before it in its table."""
        frequency = self.frequency.cpu().numpy().astype(numpy.int64)
        before = numpy.cumsum(frequency) - frequency
        return frequency, before & ((1 << PRECISION) - 1)

    def slots(self) -> tuple[Symbols, Integers, Integers]:
        """The symbol of each group and slot (groups·2^14,), its frequency, and the slot's offset in it."""
        frequency, before = self.frequencies()
        symbol = numpy.repeat(numpy.arange(len(frequency)), frequency)
        offset = (numpy.arange(len(symbol)) & ((1 << PRECISION) - 1)) - before[symbol]
        return symbol.astype(numpy.int32), frequency[symbol], offset

    def _of_components(self) -> tuple[Tensor, Tensor, Tensor]:
        """The lowest code, the size, and the number of the first symbol of each component's table, (C, 1) each."""
        low, size, group = self.low.int(), self.size.int(), self.group.long()
        first = size.cumsum(0, dtype=torch.int32) - size
        return low[group, None], size[group, None], first[group, None]


def groups_of(deviations: Tensor) -> Tensor:
    """The components' groups (C,) uint8: components share one where their deviations, in steps, lie in the same half
    octave. Below 1/8 of a step, where all is zero but outliers, there is one group."""
    octave = deviations.double().clamp_min(2.0**_LOWEST_OCTAVE).log2()
    group: Tensor = (octave * _PER_OCTAVE).floor().unique(return_inverse=True)[1]
    return group.to(torch.uint8)


def frequencies_of(counts: Tensor) -> Tensor:
    """Counts (symbols,) → frequencies that add up to 2^14, each at least 1, by rounding the cumulative counts."""
    free = (1 << PRECISION) - len(counts)
    edges = (counts.double().cumsum(0) / counts.sum().clamp_min(1) * free).round()
    edges[-1] = free
    return 1 + edges.diff(prepend=edges.new_zeros(1)).long()


def _counted(codes: Tensor) -> tuple[int, Tensor]:
    """The lowest symbol and the frequencies of a table, the escape's last."""
    half = _SYMBOLS // 2
    low, high = (int(end) for end in codes.clamp(-half, half - 1).aminmax())
    counts = torch.bincount(codes.clamp(low - 1, high + 1).flatten() - (low - 1), minlength=high - low + 3)
    return low, frequencies_of(torch.cat([counts[1:-1], counts[:1] + counts[-1:]]))
