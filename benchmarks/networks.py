"""Which networks can be followed, and how: way of tracing, feature maps, and whether codecs that change nothing change
nothing. Each network is in a process of its own, with a time limit.

`python benchmarks/networks.py [FAMILY…] [--seconds 120] [--markdown FILE] [--json FILE]`

Families are `torchvision`, `segmentation`, `detection`, `video`, `quantisable`, `timm`, `smp`, `transformers` and
`plain`; those whose package is not installed are left out. Weights are random, and images small.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from zoo import FAMILIES, build

from actbench.errors import UserError
from actbench.harness.doctor import examine
from actbench.network.trace import trace

COLUMNS = (
    "family",
    "network",
    "way",
    "maps",
    "identity",
    "deployed",
    "seconds",
    "not_folded",
    "not_quantised",
    "whole",
)


def examined(family: str, name: str, seconds: float) -> dict[str, Any]:
    """The row of one network, from a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["zoo", "actbench.harness.doctor", "actbench.network.trace"])
    ours, its = context.Pipe()
    process = context.Process(target=_send, args=(family, name, its))
    process.start()
    its.close()
    row: dict[str, Any] = {"way": "refused", "seconds": seconds, "reason": f"took longer than {seconds:.0f} s"}
    try:
        if ours.poll(seconds):
            row = ours.recv()
    except EOFError:
        row = {"way": "CRASH", "reason": "the process ended"}
    process.kill()
    process.join()
    return {"family": family, "network": name, **row}


def _send(family: str, name: str, connection: Connection) -> None:
    connection.send(_row(family, name))


def _row(family: str, name: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    start = time.perf_counter()
    try:
        model, shape, others = build(family, name)
        start = time.perf_counter()
        network = trace(model, shape, others=others)
        seconds = time.perf_counter() - start
        found = examine(network, *(torch.rand(2, *each) for each in (shape, *others)))
    except UserError as error:
        return {"way": "refused", "seconds": time.perf_counter() - start, "reason": str(error)}
    except Exception:
        return {"way": "TRACEBACK", "seconds": time.perf_counter() - start, "reason": traceback.format_exc()[-1500:]}
    counted = {
        "not_folded": len(found.not_folded),
        "not_quantised": len(found.not_quantised),
        "whole": len(found.whole),
    }
    errors = {"identity": found.identity_error, "deployed": found.deployed_error}
    sizes = {"maps": found.maps, "traffic": found.traffic, "beside": sum(found.beside_maps.values())}
    return {"way": found.way, "seconds": seconds, **sizes, **errors, **counted, "reason": "; ".join(found.warnings)}


def markdown(rows: list[dict[str, Any]]) -> str:
    """A table, and how many went which way."""
    lines = ["| " + " | ".join((*COLUMNS, "reason")) + " |", "|" + "---|" * (len(COLUMNS) + 1)]
    for row in rows:
        cells = [_cell(column, row[column]) if column in row else "" for column in COLUMNS]
        lines.append("| " + " | ".join([*cells, str(row.get("reason", ""))[:300].replace("|", "\\|")]) + " |")
    ways = [str(row["way"]) for row in rows]
    counts = ", ".join(f"{ways.count(way)} {way}" for way in dict.fromkeys(ways))
    return "\n".join([*lines, "", f"{len(rows)} networks: {counts}"])


def _cell(column: str, value: Any) -> str:
    if column in ("identity", "deployed"):
        return f"{value:.1e}"
    return f"{value:.1f}" if column == "seconds" else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for family in given.families:
        for name in FAMILIES[family]():
            rows.append(examined(family, name, given.seconds))
            print({key: value for key, value in rows[-1].items() if value != ""}, flush=True)
            if given.json:
                given.json.write_text(json.dumps(rows, indent=1))
    if given.markdown:
        given.markdown.write_text(markdown(rows) + "\n")
    print(markdown(rows).splitlines()[-1])


if __name__ == "__main__":
    main()
