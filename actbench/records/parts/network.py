"""Network: how a graph was made of the model."""

from __future__ import annotations

from typing import Literal

from actbench.records.parts.part import Part


class Network(Part):
    """`way`: whether the model was traced symbolically by torch.fx, or by torch.export."""

    way: Literal["fx", "export"]
