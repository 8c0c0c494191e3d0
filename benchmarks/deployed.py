"""Memory and time of deployed networks in stripes, beside fp32, in one process: `python benchmarks/deployed.py --help`.

The networks have random weights: codes are what is timed, not what they are worth.
"""

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import pairwise
from time import perf_counter

import torch
from torch import Tensor, nn

from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import PlainCodec, Unsupported
from actbench.harness.deployed import measure_memory
from actbench.harness.workbench import Workbench
from actbench.info import WorkloadInfo, load_target
from actbench.measure.latency import interleaved
from actbench.network.deploy import deploy
from actbench.network.splice import splice
from actbench.records.parts.latency import Comparison
from actbench.registry import load_plugins
from actbench.runtime.compiled import CompiledUnits, compiled_module
from actbench.runtime.integer import integer_form
from actbench.runtime.network import StripedNetwork
from actbench.workloads.base import ImageSet, Workload, WorkloadSettings
from actbench.workloads.torchvision_import import torchvision

IMAGES = 4
Call = Callable[[Tensor], object]


def deep(channels: int, layers: int) -> nn.Module:
    """A plain chain of 3×3 convolutions."""
    sizes = [3, *[channels] * layers]
    parts = [(nn.Conv2d(a, b, 3, padding=1), nn.ReLU()) for a, b in pairwise(sizes)]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    return nn.Sequential(*(part for pair in parts for part in pair), *head)


NETWORKS = {
    "deep": (lambda: deep(64, 12), (3, 512, 512)),
    "resnet18": (lambda: torchvision("torchvision.models").resnet18(weights=None), (3, 224, 224)),
    "resnet50": (lambda: torchvision("torchvision.models").resnet50(weights=None), (3, 224, 224)),
    "mobilenet-v2": (lambda: torchvision("torchvision.models").mobilenet_v2(weights=None), (3, 224, 224)),
}


class Drawn(Workload):
    """A network with random weights, and smooth images with noise."""

    def __init__(self, name: str) -> None:
        super().__init__(WorkloadSettings())
        self.build, self.input_shape = NETWORKS[name]

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return self.build().eval()

    def calibration_set(self) -> ImageSet:
        return self._images(1)

    training_set = calibration_set

    def evaluation_set(self) -> ImageSet:
        return self._images(2)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.square().mean()

    def _images(self, seed: int) -> ImageSet:
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.rand(IMAGES, 3, 9, 9, generator=generator)
        smooth = nn.functional.interpolate(coarse, self.input_shape[1:], mode="bilinear")
        noise = 20 * torch.rand(smooth.shape, generator=generator)
        return ImageSet((235 * smooth + noise).byte(), torch.zeros(IMAGES, dtype=torch.long), (0.5,) * 3, (0.25,) * 3)


def main() -> None:
    """Prints a line for each method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=NETWORKS, default="deep")
    parser.add_argument("--methods", default="quantize,prochan,wcc")
    parser.add_argument("--ceilings", default="8x")
    parser.add_argument("--bits", default="w8a2-8")
    parser.add_argument("--stripe", default="auto", help="rows, auto or off")
    parser.add_argument("--compute", choices=("fp32", "int8"), default="fp32")
    parser.add_argument("--compile", action="store_true", help="as compiled units; some minutes")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    bench = Workbench(Drawn(arguments.network), _info(), torch.device("cpu"))
    bits, stripe = Bits.parse(arguments.bits), arguments.stripe
    for method in arguments.methods.split(","):
        for ceiling in arguments.ceilings.split(","):
            budget = Budget(Ceiling.parse(ceiling), bits)
            try:
                rows = int(stripe) if stripe.isdecimal() else stripe
                striped = _striped(bench, method, budget, rows, arguments.compute)
            except Unsupported as error:
                print(f"{method} {budget}: unsupported: {error}", flush=True)
                continue
            print(f"{method} {budget}: {_measured(bench, striped, arguments.rounds)}", flush=True)
            if arguments.compile:
                print(f"{method} {budget}: {_compiled(bench, striped, arguments.rounds)}", flush=True)


def _striped(bench: Workbench, name: str, budget: Budget, stripe: object, compute: str) -> StripedNetwork:
    torch.manual_seed(0)
    info, shared = load_plugins().method(name), bench.maps["live"]
    method = load_target(info.target)(info.resolve({}))
    planned = method.plan(bench.planning(shared.network), shared.statistics(0), budget).codecs
    codecs = {fmap.name: PlainCodec(None) for fmap in shared.network.maps} | dict(planned)
    module = deploy(splice(shared.network, codecs), budget.bits.weights).module
    if compute == "int8":
        module = integer_form(module, budget.bits.weights).module
    return StripedNetwork(module, stripe)


@torch.no_grad()
def _measured(bench: Workbench, striped: StripedNetwork, rounds: int) -> str:
    memory = measure_memory(bench, striped)
    times = _timed(bench, striped, bench.reference.module, rounds)
    stages = striped.stages(bench.image)
    low, high = times.ratio_quartiles
    shares = ", ".join(f"{name} {seconds / times.baseline.median:.2f}" for name, seconds in stages.items())
    step = memory.peak_step
    held = f" in {step.name}, {step.stored_bytes / memory.reference_peak_bytes:.3f} of it stored" if step else ""
    share = memory.peak_bytes / memory.reference_peak_bytes
    held_by = f"memory {share:.3f} of {memory.reference_peak_bytes >> 10:,} KiB{held}"
    return (
        f"{held_by}; time {times.ratio:.2f} [{low:.2f}, {high:.2f}] of {1e3 * times.baseline.median:.0f} ms ({shares})"
    )


@torch.no_grad()
def _compiled(bench: Workbench, striped: StripedNetwork, rounds: int) -> str:
    begin, units = perf_counter(), CompiledUnits(nullcontext)
    compiled = striped.carried_out_by(units)
    compiled(bench.image)
    first_call = perf_counter() - begin
    eager = _timed(bench, compiled, bench.reference.module, rounds)
    reference = _timed(bench, compiled, compiled_module(bench.reference.module, bench.image), rounds)
    said = f"{units.compiled} of {units.count} units compiled, first call {first_call:.0f} s"
    return f"compiled: time {eager.ratio:.2f} of fp32, {reference.ratio:.2f} of fp32 compiled ({said})"


def _timed(bench: Workbench, subject: Call, baseline: Call, rounds: int) -> Comparison:
    ours, theirs = (partial(call, bench.image) for call in (subject, baseline))
    return interleaved(ours, theirs, batch=1, device=bench.device, rounds=rounds, warmup=1, seconds=120)


def _info() -> WorkloadInfo:
    target = "actbench.harness.layer:OneLayer"
    return WorkloadInfo("drawn", "Drawn", target, target, metric="none")


if __name__ == "__main__":
    main()
