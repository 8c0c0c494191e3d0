"""Checks that the payload, and nothing else, carries an image from `encode` to `decode`."""

from __future__ import annotations

import copy
import gc
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from actbench.codec.codec import Codec
from actbench.codec.packing import layout, pack
from actbench.codec.payload import Payload
from actbench.errors import InvalidCodec
from actbench.measure.footprint import check_packed
from actbench.testing.check import Failed, Skipped, expect
from actbench.testing.form import alike, cases
from actbench.testing.subject import Subject

_SECONDS = 300


def determinism(subject: Subject) -> None:
    """Under the same seed, two plans are equal, and so are two payloads of the same images."""
    cases(subject)
    for budget, first in subject.supported():
        second = subject.plan(budget)
        expect(set(first) == set(second), f"{budget}: two plans choose codecs for different maps")
        for case in subject.cases(budget):
            payload, replanned = _encoded(case.codec, case.x), _encoded(second[case.fmap.name], case.x)
            expect(
                _equal(payload, replanned), f"{budget}, {case.name}: two plans under one seed store different payloads"
            )
            again = _encoded(case.codec, case.x)
            expect(_equal(payload, again), f"{budget}, {case.name}: one seed, two different payloads")


def packing(subject: Subject) -> None:
    """A payload packs into as many bits as it claims, and decodes from the unpacked bytes to the same values."""
    for case in cases(subject):
        try:
            check_packed(
                case.name,
                case.codec,
                case.codec,
                case.x,
                case.x.flip((0, 2, 3)),
                same_layout=not subject.saves,
            )
        except InvalidCodec as error:
            raise Failed(str(error)) from None


def payload_alone(subject: Subject) -> None:
    """After `encode` the input is overwritten, other images are encoded, and only then the payload is decoded: `decode`
    gets nothing but the payload."""
    gc.freeze()  # the collector need not look at all that was there before the input
    try:
        for case in cases(subject):
            expected = _decoded(case.codec, case.x)
            decoded = _decoded_without_input(case.codec, case.x)
            expect(
                alike(decoded, expected), f"{case.name}: with the input gone and another image encoded, decode differs"
            )
    finally:
        gc.unfreeze()


def _decoded_without_input(codec: Codec, image: Tensor) -> Tensor:
    x = image.clone()
    payload = copy.deepcopy(_encoded(codec, x))
    x.fill_(float("nan"))
    del x
    gc.collect()
    _encoded(codec, image.flip((0, 2, 3)) + 1)
    return codec.decode(payload)


def no_state(subject: Subject) -> None:
    """What is stored of an image does not depend on the images before it, and encoding leaves parameters and buffers as
    they are."""
    if subject.saves:
        raise Skipped("what is for training alone may follow the training, from step to step")
    for case in cases(subject):
        codec = case.codec
        before = {name: value.clone() for name, value in codec.state_dict().items()}
        first = _encoded(codec, case.x)
        _encoded(codec, 2 * case.x.flip((0, 2, 3)) + 1)
        expect(_equal(first, _encoded(codec, case.x)), f"{case.name}: after others an image is stored otherwise")
        changed = [name for name, value in codec.state_dict().items() if not _same(value, before[name])]
        expect(not changed, f"{case.name}: encoding changed {', '.join(changed)}")


def fresh_process(subject: Subject) -> None:
    """A process of its own makes the plan again, loads the codec's saved state, and decodes the packed bytes to the
    same values: what is shared within a process, by a global say, is not there."""
    planned = next(subject.supported(), None)
    if planned is None:
        raise Skipped("the method makes no codecs for these budgets; see check 2")
    budget, _ = planned
    with tempfile.TemporaryDirectory() as name:
        folder, expected = Path(name), {}
        for case in subject.cases(budget):
            payload = _encoded(case.codec, case.x)
            expected[case.fmap.name] = case.codec.decode(payload).contiguous()
            _write(folder / case.fmap.name, case.codec, payload)
        if not expected:
            raise Skipped("the plan leaves every map as it is")
        request = {
            "method": subject.info.name,
            "options": subject.options,
            "plugin_files": [str(file) for file in subject.plugin_files],
            "budget": str(budget),
            "maps": sorted(expected),
        }
        (folder / "request.json").write_text(json.dumps(request))
        command = [sys.executable, "-m", "actbench.testing.fresh", str(folder)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False, env=same_imports()
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise Failed(f"a fresh process cannot decode: {last}")
        decoded = load_file(folder / "decoded.safetensors")
    for fmap, values in expected.items():
        expect(alike(decoded[fmap], values), f"map {fmap}: a fresh process decodes the packed bytes to other values")


def same_imports() -> dict[str, str]:
    """Makes an environment in which another process finds the modules that this one finds."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _write(folder: Path, codec: Codec, payload: Payload) -> None:
    folder.mkdir()
    # Clones: tensors that share memory cannot be saved together.
    save_file(
        {name: value.clone().contiguous() for name, value in codec.state_dict().items()}, folder / "state.safetensors"
    )
    form = [asdict(part) | {"dtype": str(part.dtype).removeprefix("torch.")} for part in layout(payload)]
    (folder / "layout.json").write_text(json.dumps(form))
    for number, image in enumerate(pack(payload)):
        (folder / f"{number}.bin").write_bytes(image)


def _encoded(codec: Codec, x: Tensor) -> Payload:
    torch.manual_seed(0)
    return codec.encode(x)


def _decoded(codec: Codec, x: Tensor) -> Tensor:
    return codec.decode(_encoded(codec, x))


def _equal(first: Payload, second: Payload) -> bool:
    if layout(first) != layout(second) or first.batch != second.batch:
        return False
    return all(_same(first[name], second[name]) for name in first)


def _same(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.equal(first.nan_to_num(), second.nan_to_num())
