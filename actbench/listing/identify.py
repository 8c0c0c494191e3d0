"""Digests of what a workload is made of, from its plugin's function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actbench.errors import UserError
from actbench.fields import check_text, one_line
from actbench.info import WorkloadInfo, load_target

_OURS = "actbench.workloads."


def identify(info: WorkloadInfo, data: Path | None, weights: Path | None, files: Sequence[Path]) -> dict[str, str]:
    """The digests of a workload's parts, by what they are of. Raises UserError where one is missing.
    A plugin's function runs in the listing process, for as long as it takes."""
    if info.identify.startswith(_OURS):
        return dict(load_target(info.identify)(data, weights))
    from actbench.listing.process import carry_out

    paths = {"data": data, "weights": weights}
    task = {
        "kind": "identify",
        "target": info.identify,
        "files": [str(file) for file in files],
        **{name: None if path is None else str(path) for name, path in paths.items()},
    }
    (outcome,) = carry_out([task], None)
    return _digests(info, outcome)


def _digests(info: WorkloadInfo, outcome: dict[str, Any]) -> dict[str, str]:
    if isinstance(refused := outcome.get("refused"), str):
        raise UserError(one_line(refused))
    try:
        digests = dict(outcome["digests"])
        for name, digest in digests.items():
            check_text("name of a digest", name)
            check_text(f"digest of {name}", digest)
        return digests
    except (TypeError, ValueError, KeyError):
        error = outcome.get("error", "no digests by name")
        raise UserError(f"workload {info.name} cannot be identified: {one_line(str(error))}") from None
