"""Code tables: for groups of components the frequencies of their symbols, counted on calibration images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from actbench.codec.entropy_coder import PRECISION, Categorical, frequencies_of, model_of

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

    @property
    def order(self) -> Tensor:
        """The components (C,) in the order in which their symbols are written: table by table."""
        return self.group.argsort(descending=True, stable=True)

    def symbols(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (images, C, positions) → symbols, numbered from 0 in each table, and which of them are escapes. All
        codes and symbols are int32."""
        low, escape = self._of_components()
        # Without its sign a negative number is larger than any table: one comparison finds both kinds of escape.
        index = torch.minimum((codes - low).bitwise_and_(torch.iinfo(torch.int32).max), escape)
        return index, index == escape

    def codes(self, symbols: Tensor) -> tuple[Tensor, Tensor]:
        """The codes that `symbols` turned into symbols, and where an escape stands in place of one."""
        low, escape = self._of_components()
        return symbols + low, symbols == escape

    def costs(self, symbols: Tensor) -> Tensor:
        """The bits that each symbol costs, `log2(2^14 / f)`."""
        sizes = self.size.int()
        first = (sizes.cumsum(0, dtype=torch.int32) - sizes)[self.group.long(), None]
        bits = PRECISION - self.frequency.float().log2()
        return bits[symbols + first]

    def models(self) -> list[tuple[Categorical, int]]:
        """The symbols' models, in their `order`: of each so many components share one."""
        frequencies = self.frequency.double().cpu().split(self.size.tolist())
        tables = [model_of(frequency) for frequency in frequencies]
        groups, counts = self.group[self.order].cpu().unique_consecutive(return_counts=True)
        return [(tables[group], count) for group, count in zip(groups.tolist(), counts.tolist(), strict=True)]

    def _of_components(self) -> tuple[Tensor, Tensor]:
        """The lowest code of each component, and the number of its escape, (C, 1) each."""
        group = self.group.long()
        return self.low.int()[group, None], self.size.int()[group, None] - 1


def groups_of(deviations: Tensor) -> Tensor:
    """The components' groups (C,) uint8: components share one where their deviations, in steps, lie in the same half
    octave. Below 1/8 of a step, where all is zero but outliers, there is one group."""
    octave = deviations.double().clamp_min(2.0**_LOWEST_OCTAVE).log2()
    group: Tensor = (octave * _PER_OCTAVE).floor().unique(return_inverse=True)[1]
    return group.to(torch.uint8)


def _counted(codes: Tensor) -> tuple[int, Tensor]:
    """The lowest symbol and the frequencies of a table, the escape's last."""
    half = _SYMBOLS // 2
    low, high = (int(end) for end in codes.clamp(-half, half - 1).aminmax())
    counts = torch.bincount(codes.clamp(low - 1, high + 1).flatten() - (low - 1), minlength=high - low + 3)
    return low, frequencies_of(torch.cat([counts[1:-1], counts[:1] + counts[-1:]]))
