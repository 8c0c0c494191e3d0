"""Checks of a method in a network: registration, plan, gradients, folding, devices, training."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import torch
from torch import Tensor, nn

from actbench.codec.codec import Codec
from actbench.errors import Unsupported
from actbench.measure.device import has_gpu
from actbench.network.deploy import deploy
from actbench.network.splice import splice
from actbench.registry import GROUP, RESTRICT
from actbench.testing.check import Skipped, expect
from actbench.testing.form import alike, cases
from actbench.testing.independence import same_imports
from actbench.testing.subject import Subject, parse_budget
from actbench.training.layers import CompressedConv2d, SavedInput

_LIGHT = """
import json, sys
from pathlib import Path
from actbench.registry import load_plugins
registry = load_plugins([Path(file) for file in json.loads(sys.argv[1])])
print(json.dumps([sys.argv[2] in registry.methods, "torch" in sys.modules]))
"""
_FOLDED_TOLERANCE = 0.02
_GRADIENT_TOLERANCE = 1e-4


def light_registration(subject: Subject) -> None:
    """Listing methods imports no torch: a plugin registers plain data, its class lies behind "package.module:Class"."""
    entries = [report.name for report in subject.registry.plugins if subject.info.name in report.provides]
    installed = entries[0] if entries and not _from_file(subject, entries[0]) else ""
    arguments = [json.dumps([str(file) for file in subject.plugin_files]), subject.info.name]
    done = subprocess.run(
        [sys.executable, "-c", _LIGHT, *arguments],
        env={**same_imports(), RESTRICT: installed},
        capture_output=True,
        text=True,
        check=False,
    )
    expect(done.returncode == 0, f"listing fails in a fresh process: {(done.stderr.strip().splitlines() or [''])[-1]}")
    registered, heavy = json.loads(done.stdout.splitlines()[-1])
    expect(registered, f"a fresh process does not find it under the entry-point group {GROUP!r}")
    expect(not heavy, "its registration imports torch: keep the class in a module of its own")


def plan(subject: Subject) -> None:
    """Under at least one of the budgets there is a plan; it names maps that exist, and every codec is a Codec."""
    reasons = []
    for budget in subject.budgets:
        try:
            codecs = subject.planned(budget)
        except Unsupported as error:
            reasons.append(f"{budget}: {error}")
            continue
        unknown = sorted(set(codecs) - {fmap.name for fmap in subject.network.maps})
        expect(not unknown, f"{budget}: the plan names a map that does not exist: {', '.join(unknown)}")
        wrong = [name for name, codec in codecs.items() if not isinstance(codec, Codec)]
        expect(not wrong, f"{budget}: what is planned for {', '.join(wrong)} is no Codec")
    if subject.info.role == "reference" and len(reasons) == len(subject.budgets):
        raise Skipped("a reference without codecs")
    expect(len(reasons) < len(subject.budgets), f"no budget is supported: {'; '.join(reasons)}")


def gradients(subject: Subject) -> None:
    """Where the registration says `learnable`, gradients that are finite and not all zero reach the image and at least
    one parameter of the codecs, where they have any; what was quantised passes them straight through."""
    if not subject.info.learnable or subject.saves:
        raise Skipped("the registration does not say that the method is learnable")
    cases(subject)
    budget, codecs = next(subject.supported())
    spliced = splice(subject.network, codecs)
    with torch.enable_grad():
        pixels = subject.pixels.clone().requires_grad_()
        loss = spliced.module(pixels).square().sum()
        expect(loss.requires_grad, f"{budget}: no gradient passes the codecs: is something detached?")
        loss.backward()
    assert pixels.grad is not None
    expect(bool(torch.isfinite(pixels.grad).all()), f"{budget}: gradients of the image are not finite")
    expect(bool(pixels.grad.any()), f"{budget}: no gradient reaches the image")
    trained = [p for codec in spliced.codecs().values() for p in codec.parameters() if p.requires_grad]
    reached = [p for p in trained if p.grad is not None]
    expect(not trained or bool(reached), f"{budget}: no gradient reaches a parameter of a codec")
    finite = all(bool(torch.isfinite(p.grad).all()) for p in reached if p.grad is not None)
    expect(finite, f"{budget}: gradients of a codec's parameters are not finite")


def folding(subject: Subject) -> None:
    """The deployed network, with codecs folded into convolutions or read without decoding, computes what the network
    with codecs in place does."""
    if subject.saves:
        raise Skipped("nothing is deployed of what training saves")
    cases(subject)
    for budget, codecs in subject.supported():
        spliced = splice(subject.network, codecs)
        expected = spliced.module(subject.pixels)
        outputs = deploy(spliced, 32, subject.pixels[:1]).module(subject.pixels)
        error = float((outputs - expected).norm() / expected.norm().clamp_min(1e-12))
        expect(error <= _FOLDED_TOLERANCE, f"{budget}: the deployed outputs are off by {error:.3g} of their norm")


def gpu(subject: Subject) -> None:
    """On a GPU the codec decodes to the same values as on the CPU."""
    if not has_gpu():
        raise Skipped("there is no GPU here")
    for case in cases(subject):
        torch.manual_seed(0)
        expected = case.codec(case.x)
        torch.manual_seed(0)
        decoded: Tensor = copy.deepcopy(case.codec).to("cuda")(case.x.to("cuda")).cpu()
        expect(alike(decoded, expected), f"{case.name}: the GPU decodes to other values")


def weight_gradients(subject: Subject) -> None:
    """On the training track, a weight's gradient from the payload is that on the decoded map."""
    if "training" not in subject.info.tracks or subject.info.role == "reference":
        raise Skipped("the method has no codecs on the training track")
    codecs = subject.plan(parse_budget("traffic:4x w32a2-8"), saving=True)
    compared = 0
    for fmap in subject.network.maps:
        layer = next((reader for reader in subject.network.readers(fmap) if isinstance(reader, nn.Conv2d)), None)
        if layer is None or fmap.name not in codecs:
            continue
        expect(codecs[fmap.name].side == "after", f"map {fmap.name}: training saves what is behind the nonlinearity")
        compared += 1
        x = subject.sides[fmap.name][1]
        direct, decoded = (gradient(layer, x, codecs[fmap.name]) for gradient in (_weight_gradient, _decoded_gradient))
        error = float((direct - decoded).norm() / decoded.norm().clamp_min(1e-12))
        expect(error <= _GRADIENT_TOLERANCE, f"map {fmap.name}: the gradient is off by {error:.3g} of its norm")
    if not compared:
        raise Skipped("the plan has no codec for a map that a convolution reads")


def _weight_gradient(layer: nn.Conv2d, x: Tensor, codec: Codec) -> Tensor:
    compressed = CompressedConv2d(copy.deepcopy(layer), SavedInput(copy.deepcopy(codec)))
    torch.manual_seed(0)
    return _gradient(compressed, compressed.convolution, x)


def _decoded_gradient(layer: nn.Conv2d, x: Tensor, codec: Codec) -> Tensor:
    torch.manual_seed(0)
    decoded, convolution = copy.deepcopy(codec)(x), copy.deepcopy(layer)
    return _gradient(convolution, convolution, decoded)


def _gradient(module: nn.Module, layer: nn.Conv2d, x: Tensor) -> Tensor:
    with torch.enable_grad():
        layer.weight.requires_grad_()
        y = module(x)
        (gradient,) = torch.autograd.grad(y, layer.weight, torch.linspace(-1, 1, y.numel()).view_as(y).sin())
    return gradient


def _from_file(subject: Subject, entry: str) -> bool:
    return any(report.name == entry and report.source.endswith(".py") for report in subject.registry.plugins)
