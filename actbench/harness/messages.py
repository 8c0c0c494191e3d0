"""What parent and worker say to each other: one JSON object a line, over pipes that nothing else writes to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from actbench.workloads.own.description import Description


@dataclass(frozen=True)
class Preparation:
    """What a worker needs to know before its first cell. `threads`: as torch chooses for None. `memory`: bytes that a
    cell may take, for None most of what is free. `own`: what describes the workload where it is none that is
    registered; data and weights are in it. `shared`: whether cells may be measured side by side on a node, which then
    take turns."""

    workload: str
    device: str
    data: Path | None = None
    weights: Path | None = None
    limit: int | None = None
    plugin_files: tuple[Path, ...] = ()
    threads: int | None = None
    memory: int | None = None
    own: Description | None = None
    shared: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; paths absolute."""
        return {
            "workload": self.workload,
            "device": self.device,
            "data": _absolute(self.data),
            "weights": _absolute(self.weights),
            "limit": self.limit,
            "plugin_files": [str(path.absolute()) for path in self.plugin_files],
            "threads": self.threads,
            "memory": self.memory,
            "own": None if self.own is None else self.own.to_json(),
            "shared": self.shared,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Preparation:
        """What `to_json` gave."""
        return cls(
            data["workload"],
            data["device"],
            Path(data["data"]) if data["data"] else None,
            Path(data["weights"]) if data["weights"] else None,
            data["limit"],
            tuple(map(Path, data["plugin_files"])),
            data["threads"],
            data["memory"],
            None if data["own"] is None else Description.from_json(data["own"]),
            data["shared"],
        )


def send(stream: IO[bytes], **message: Any) -> None:
    """Writes one message. NaN and infinity have no place in JSON: they raise ValueError."""
    stream.write(json.dumps(message, allow_nan=False).encode() + b"\n")
    stream.flush()


def receive(line: bytes) -> dict[str, Any]:
    """Reads one message."""
    message: dict[str, Any] = json.loads(line)
    return message


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
