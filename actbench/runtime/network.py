"""The deployed network as it runs on a machine with little memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, fx

from actbench.codec.quantizers import UniformQuantizer
from actbench.codec.rows import Attempts, ReadsRows
from actbench.measure.latency import Clock
from actbench.network import nodes
from actbench.network.splice import Decode, Encode
from actbench.runtime.call import call
from actbench.runtime.region import Program
from actbench.runtime.schedule import Schedule, Striped, Whole, schedule
from actbench.runtime.shapes import works_in_rows
from actbench.runtime.spans import Span
from actbench.runtime.stored import Assembled, MakeWriter, StoredMap, Window, Writer, writer_for
from actbench.runtime.stripes import Stripe
from actbench.runtime.units import Units

Stage = Literal["encode", "decode", "layers"]
Entered = Callable[[str, int], None]
Clocks = Mapping[Stage, AbstractContextManager[object]]
STAGES: tuple[Stage, ...] = ("encode", "decode", "layers")


class StripedNetwork:
    """Runs a deployed network so that between two layers only packed payloads exist, and a layer computes a few rows at
    a time. Gives what the network's own module gives, but for the order of sums in fp32."""

    def __init__(self, module: fx.GraphModule, stripe: Stripe = "auto", units: Units | None = None) -> None:
        units = units or Units()
        self._module = module
        for part in module.modules():
            if isinstance(part, UniformQuantizer):
                part.keep_numbers()
        self._stripe = stripe
        self._schedules: dict[tuple[int, ...], Schedule] = {}
        stages = [(node, nodes.module_of(node)) for node in module.graph.nodes]
        self._codecs = _Codecs(
            units,
            {node: writer_for(stage, units) for node, stage in stages if isinstance(stage, Encode)},
            {node: stage for node, stage in stages if isinstance(stage, Decode)},
            {node for node, stage in stages if isinstance(stage, Decode) and works_in_rows(stage)},
            {node for node, stage in stages if isinstance(stage, Encode) and isinstance(stage.codec, Attempts)},
        )

    def schedule(self, shape: tuple[int, ...]) -> Schedule:
        """The schedule for an input of a shape (batch, C, H, W), planned once."""
        if shape not in self._schedules:
            self._schedules[shape] = schedule(self._module, shape, self._stripe)
        return self._schedules[shape]

    def carried_out_by(self, units: Units) -> StripedNetwork:
        """The same network, its stripes carried out otherwise."""
        return StripedNetwork(self._module, self._stripe, units)

    def tensors(self) -> list[Tensor]:
        """Parameters and buffers: what is in memory beside the maps."""
        return [*self._module.parameters(), *self._module.buffers()]

    @torch.no_grad()
    def __call__(self, x: Tensor, entered: Entered | None = None) -> Any:
        """Runs a batch (batch, C, H, W). `entered` is told of each step that begins: its name, and the bytes of what is
        stored then."""
        return _Run(self._module, self._codecs, self.schedule(tuple(x.shape)), x, {}).result(entered)

    @torch.no_grad()
    def stages(self, x: Tensor) -> dict[Stage, float]:
        """Seconds of one run that encoding and packing, unpacking and decoding, and layers took."""
        clocks = {stage: Clock(x.device) for stage in STAGES}
        _Run(self._module, self._codecs, self.schedule(tuple(x.shape)), x, clocks).result()
        seconds = {stage: clock.seconds() for stage, clock in clocks.items()}
        return seconds | {"layers": seconds["layers"] - seconds["decode"]}  # what they read is decoded among them


@dataclass(frozen=True)
class _Codecs:
    """How stripes are carried out; how each map is written, and read: whole, or `in_rows`. `attempting`: encoders that
    may write a map again."""

    units: Units
    writers: Mapping[fx.Node, MakeWriter]
    decoders: Mapping[fx.Node, Decode]
    in_rows: Collection[fx.Node]
    attempting: Collection[fx.Node]


class _Run:
    """One run: whole tensors in `values`, stored maps in `stored`, by their nodes."""

    def __init__(self, module: fx.GraphModule, codecs: _Codecs, planned: Schedule, x: Tensor, clocks: Clocks) -> None:
        self._codecs, self._planned = codecs, planned
        self._encode, self._decode, self._layers = (clocks.get(stage, nullcontext()) for stage in STAGES)
        self._batch = len(x)
        self._values: dict[fx.Node, Any] = {}
        self._stored: dict[fx.Node, StoredMap] = {}
        for node in module.graph.nodes:
            if node.op == "placeholder":
                self._values[node] = x
            elif node.op == "get_attr":
                self._values[node] = nodes.attribute(module, cast(str, node.target))

    def result(self, entered: Entered | None = None) -> Any:
        for step, freed in zip(self._planned.steps, self._planned.freed, strict=True):
            if entered is not None:
                entered(step.name, sum(stored.bytes for stored in self._stored.values()))
            if isinstance(step, Striped):
                self._run_striped(step, freed)
            elif step.node.op == "output":
                return fx.node.map_arg(step.node.args[0], self._value)
            else:
                self._run_whole(step)
            for node in freed:
                self._values.pop(node, None)
                self._stored.pop(node, None)
        raise AssertionError("a graph without an output")

    def _value(self, node: fx.Node) -> Any:
        return self._values[node] if node in self._values else self._planned.values[node]

    def _run_whole(self, step: Whole) -> None:
        with self._layers:
            self._values[step.node] = call(step.node, self._value)

    def _run_striped(self, step: Striped, freed: Collection[fx.Node]) -> None:
        pending = {sink: self._sink(sink, target) for sink, target in step.sinks.items()}
        # What may have to be written again has to be read again.
        once = not any(sink in self._codecs.attempting for sink in step.sinks)
        while pending:
            readers = {source: self._reader(source, freed if once else ()) for source in step.region.sources}
            for program in step.programs:
                self._run_program(program, step, readers, pending)
            del readers
            with self._encode:
                pending = {sink: taking for sink, taking in pending.items() if not self._finish(sink, taking)}

    def _run_program(
        self, program: Program, step: Striped, readers: Mapping[fx.Node, _Reader], pending: Mapping[fx.Node, _Sink]
    ) -> None:
        def read(source: fx.Node, rows: Span) -> Tensor:
            with self._decode:
                return readers[source](rows, program.kept.get(source))

        with self._layers:
            computed = self._codecs.units.run(program, read)
        with self._encode:
            for sink, taking in pending.items():
                rows = program.wanted.get(step.sinks[sink])
                if rows is not None:
                    taking.add(computed[step.sinks[sink]], rows)

    def _sink(self, sink: fx.Node, target: fx.Node) -> _Sink:
        shape = self._planned.values[target]
        if sink in self._codecs.writers:
            return self._codecs.writers[sink](self._batch, shape[2])
        return Assembled(shape[2]) if sink is target else _Mean(shape[2] * shape[3])

    def _finish(self, sink: fx.Node, taking: _Sink) -> bool:
        """Whether a sink has all that it needs; if so, what it made is there."""
        if isinstance(taking, Writer):
            stored = taking.finish()
            if stored is None:
                return False
            self._stored[sink] = stored
        elif isinstance(taking, Assembled):
            self._values[sink] = taking.tensor
        else:
            self._values[sink] = taking.mean.reshape(self._planned.values[sink])
        return True

    def _reader(self, source: fx.Node, freed: Collection[fx.Node]) -> _Reader:
        stage = self._codecs.decoders.get(source)
        if stage is None or source in self._values:
            whole: Tensor = self._values[source]
            return lambda rows, kept: _rows(whole, rows)
        stored = self._stored[source.all_input_nodes[0]]
        if source in self._codecs.in_rows:
            encode = source.all_input_nodes[0]
            last = encode in freed and sum(user in self._codecs.decoders for user in encode.users) == 1
            decode = partial(self._codecs.units.decode, cast(ReadsRows, stage.codec))
            return Window(stored, decode, last=last).rows
        decoded = stage(stored.stripes[0][1].payload())
        return lambda rows, kept: _rows(decoded, rows)


class _Mean:
    """A mean over all positions, from sums of rows."""

    def __init__(self, positions: int) -> None:
        self._positions = positions
        self._sum: Tensor | float = 0.0

    def add(self, x: Tensor, rows: Span) -> None:
        self._sum = self._sum + x.sum((2, 3))

    @property
    def mean(self) -> Tensor:
        return cast(Tensor, self._sum) / self._positions


_Reader = Callable[[Span, int | None], Tensor]
_Sink = Writer | Assembled | _Mean


def _rows(tensor: Tensor, rows: Span) -> Tensor:
    return tensor if tensor.dim() < 4 or rows.height == tensor.shape[2] else tensor[:, :, rows.start : rows.stop]
