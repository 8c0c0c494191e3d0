"""What one cell is: canonical, hashed, and enough to repeat it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from actbench.budget import REFERENCE, Bits, Budget, Ceiling
from actbench.info import OptionValue
from actbench.settings import Inference, Settings, settings_from_canonical

PROTOCOL = 2
"""The protocol's version: a change of meaning is a new version, and another cell."""

INFERENCE = Inference()
"""Closed division: calibration alone."""

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class WorkloadSpec:
    """A workload and everything that it is made of. `limit`: evaluation images, None for all. `own`: what a user said
    of a network and images of his own, as plain JSON values; None of a workload that is registered."""

    name: str
    digests: Mapping[str, str]
    limit: int | None = None
    own: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class MethodSpec:
    """A method, its plugin's version and all of its options."""

    name: str
    version: str
    options: Mapping[str, OptionValue] = field(default_factory=dict)


@dataclass(frozen=True)
class CellSpec:
    """One measurement: workload × method × budget × division × track × seed, on one kind of device. Track and division
    are in the `settings`. `calibration`: the seed that draws calibration images, 0 in all cells from before it did."""

    workload: WorkloadSpec
    method: MethodSpec
    budget: Budget
    settings: Settings = INFERENCE
    seed: int = 0
    device: Device = "cpu"
    protocol: int = PROTOCOL
    calibration: int = 0

    @property
    def is_reference(self) -> bool:
        """Whether this is the network as it is: no ceiling, and no quantisation."""
        return self.budget == REFERENCE

    def canonical(self) -> dict[str, Any]:
        """Plain JSON values in a fixed form: what is hashed, and what a record carries."""
        return {
            "protocol": self.protocol,
            "workload": {
                "name": self.workload.name,
                "digests": dict(sorted(self.workload.digests.items())),
                "limit": self.workload.limit,
                **({} if self.workload.own is None else {"own": dict(self.workload.own)}),
            },
            "method": {
                "name": self.method.name,
                "version": self.method.version,
                "options": dict(sorted(self.method.options.items())),
            },
            "ceiling": str(self.budget.ceiling),
            "bits": str(self.budget.bits),
            "seed": self.seed,
            "device": self.device,
            **({"calibration": self.calibration} if self.calibration else {}),
            **self.settings.canonical(),
        }

    @classmethod
    def from_canonical(cls, data: Mapping[str, Any]) -> CellSpec:
        """The cell that `canonical` describes."""
        return cls(
            workload=WorkloadSpec(**data["workload"]),
            method=MethodSpec(**data["method"]),
            budget=Budget(Ceiling.parse(data["ceiling"]), Bits.parse(data["bits"])),
            settings=settings_from_canonical(data),
            seed=data["seed"],
            device=data["device"],
            protocol=data["protocol"],
            calibration=data.get("calibration", 0),
        )

    @property
    def key(self) -> str:
        """The cell's name in a store: 20 hexadecimal digits of a SHA-256 of its canonical form."""
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:20]
