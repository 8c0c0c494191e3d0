"""What one cell is: canonical, hashed, and enough to repeat it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from actbench.budget import Bits, Budget, Ceiling
from actbench.info import Normalisation, OptionValue, Track
from actbench.recipe import RecipeName

PROTOCOL = 1
"""The protocol's version: a change of meaning is a new version, and another cell."""

Division = Literal["closed", "open"]


@dataclass(frozen=True)
class WorkloadSpec:
    """A workload and everything that it is made of. `limit`: evaluation images, None for all."""

    name: str
    digests: Mapping[str, str]
    limit: int | None = None


@dataclass(frozen=True)
class MethodSpec:
    """A method, its plugin's version and all of its options."""

    name: str
    version: str
    options: Mapping[str, OptionValue] = field(default_factory=dict)


@dataclass(frozen=True)
class CellSpec:
    """One measurement: workload × method × budget × division × track × seed, on one kind of device.

    `recover`: steps of recovery, or of the training track, on which `last` convolutions are trained, None for all,
    and of normalisations is kept what `normalisation` says.
    """

    workload: WorkloadSpec
    method: MethodSpec
    budget: Budget
    seed: int = 0
    recover: int = 0
    track: Track = "inference"
    device: Literal["cpu", "cuda"] = "cpu"
    protocol: int = PROTOCOL
    recipe: RecipeName = "protocol"
    last: int | None = None
    normalisation: Normalisation = "quantised"

    @property
    def division(self) -> Division:
        """`open` where recovery training is allowed, that is for `recover` steps."""
        return "open" if self.recover else "closed"

    def canonical(self) -> dict[str, Any]:
        """Plain JSON values in a fixed form: what is hashed, and what a record carries. The protocol's recipe goes
        without saying, as it did before there was another, and so do training everything and quantised normalisations.
        """
        return {
            "protocol": self.protocol,
            "workload": {
                "name": self.workload.name,
                "digests": dict(sorted(self.workload.digests.items())),
                "limit": self.workload.limit,
            },
            "method": {
                "name": self.method.name,
                "version": self.method.version,
                "options": dict(sorted(self.method.options.items())),
            },
            "ceiling": str(self.budget.ceiling),
            "bits": str(self.budget.bits),
            "division": self.division,
            "recover": self.recover,
            "track": self.track,
            "seed": self.seed,
            "device": self.device,
            **({} if self.recipe == "protocol" else {"recipe": self.recipe}),
            **({} if self.last is None else {"last": self.last}),
            **({} if self.normalisation == "quantised" else {"normalisation": self.normalisation}),
        }

    @classmethod
    def from_canonical(cls, data: Mapping[str, Any]) -> CellSpec:
        """The cell that `canonical` describes."""
        return cls(
            workload=WorkloadSpec(**data["workload"]),
            method=MethodSpec(**data["method"]),
            budget=Budget(Ceiling.parse(data["ceiling"]), Bits.parse(data["bits"])),
            seed=data["seed"],
            recover=data["recover"],
            track=data["track"],
            device=data["device"],
            protocol=data["protocol"],
            recipe=data.get("recipe", "protocol"),
            last=data.get("last"),
            normalisation=data.get("normalisation", "quantised"),
        )

    @property
    def key(self) -> str:
        """The cell's name in a store: 20 hexadecimal digits of a SHA-256 of its canonical form."""
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:20]
