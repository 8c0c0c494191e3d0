"""What is taken away: a traced network, the graph with codecs in place, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from actbench.budget import Budget
from actbench.network.splice import Spliced
from actbench.network.trace import TracedNetwork

Format = Literal["onnx", "torch"]
"""ONNX in QDQ form, or a program that torch.export records."""


@dataclass(frozen=True)
class Deployment:
    """A compressed network before it is deployed. `about`: what else is kept beside what is written, as plain JSON
    values: the record's key, the method's options."""

    network: TracedNetwork
    spliced: Spliced
    budget: Budget
    method: str
    about: Mapping[str, Any] = field(default_factory=dict)
