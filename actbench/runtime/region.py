"""Regions: the steps that compute some targets from what is stored or whole, a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, fx

from actbench.runtime.spans import Span
from actbench.runtime.step import RowStep

Spans = Mapping[fx.Node, Span]

Read = Callable[[fx.Node, Span], Tensor]
"""Gives rows of a source."""


@dataclass(frozen=True)
class Placed:
    """A step, and the nodes whose tensors it reads."""

    step: RowStep
    inputs: tuple[fx.Node, ...]


@dataclass(frozen=True)
class Region:
    """Steps between sources (stored maps and whole tensors) and targets. `order`: the nodes that are computed, each
    behind its inputs."""

    order: tuple[fx.Node, ...]
    steps: Mapping[fx.Node, Placed]
    sources: tuple[fx.Node, ...]
    targets: tuple[fx.Node, ...]

    @classmethod
    def of(cls, targets: Sequence[fx.Node], steps: Mapping[fx.Node, Placed]) -> Region:
        """The region of targets: from them upwards as far as steps work on rows."""
        inside: set[fx.Node] = set()
        sources: dict[fx.Node, None] = {}
        waiting = list(reversed(targets))
        while waiting:
            node = waiting.pop()
            if node not in steps:
                sources[node] = None
            elif node not in inside:
                inside.add(node)
                waiting += reversed(steps[node].inputs)
        order = [node for node in targets[0].graph.nodes if node in inside]
        return cls(tuple(order), steps, tuple(sources), tuple(targets))

    def needs(self, wanted: Spans) -> dict[fx.Node, Span]:
        """The rows of every node that the wanted rows of targets are made of."""
        spans = dict(wanted)
        for node in reversed(self.order):
            if node in spans:
                needed = self.steps[node].step.needs(spans[node])
                for previous, span in zip(self.steps[node].inputs, needed, strict=True):
                    spans[previous] = span.hull(spans.get(previous))
        return spans

    def programs(self, stripes: Sequence[Spans]) -> tuple[Program, ...]:
        """The programs of stripes, one after the other, from the rows that each wants of the targets."""
        programs: list[Program] = []
        kept: dict[fx.Node, int] = {}
        for wanted in reversed(stripes):
            programs.append(self._program(wanted, dict(kept)))
            kept |= {source: rows.start for source, rows in programs[-1].read.items()}
        return tuple(reversed(programs))

    def _program(self, wanted: Spans, kept: Mapping[fx.Node, int]) -> Program:
        spans = self.needs(wanted)
        order = [node for node in self.order if node in spans]
        last = {previous: node for node in order for previous in self.steps[node].inputs}
        shared = self._shared(order)
        instructions = []
        for node in order:
            step, inputs = self.steps[node].step, self.steps[node].inputs
            needed = list(zip(inputs, step.needs(spans[node]), strict=True))
            freed = [previous for previous in inputs if last[previous] is node and previous not in wanted]
            own = {previous for previous in freed if previous not in shared and (previous, spans[previous]) in needed}
            place = next((place for place in step.overwritable if inputs[place] in own), None)
            instructions.append(Instruction(node, step, spans[node], tuple(needed), tuple(freed), place))
        read = {source: spans[source] for source in self.sources if source in spans}
        return Program(read, tuple(instructions), dict(wanted), kept)

    def _shared(self, order: Sequence[fx.Node]) -> set[fx.Node]:
        """Tensors whose memory others may read: sources, views, and what there are views of."""
        views = [node for node in order if self.steps[node].step.is_view]
        return {*self.sources, *views, *(previous for node in views for previous in self.steps[node].inputs)}


@dataclass(frozen=True)
class Instruction:
    """One step on one span of rows: what it reads, and what nobody reads behind it. `overwrites`: the place of the
    input whose memory it writes into, if any."""

    node: fx.Node
    step: RowStep
    rows: Span
    inputs: tuple[tuple[fx.Node, Span], ...]
    freed: tuple[fx.Node, ...]
    overwrites: int | None

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        """Computes its rows."""
        if self.overwrites is None:
            return self.step.run(inputs, self.rows)
        return self.step.overwrite(inputs, self.rows, self.overwrites)


@dataclass(frozen=True)
class Program:
    """The steps for one stripe: `read` of each source, then the instructions, and which rows of targets come
    out. `kept`: of each source that a later stripe reads the first row that it needs."""

    read: Spans
    instructions: tuple[Instruction, ...]
    wanted: Spans
    kept: Mapping[fx.Node, int]

    def run(self, read: Read) -> dict[fx.Node, Tensor]:
        """Computes the wanted rows of the targets. `read` gives rows of a source, when they are needed first."""
        spans = dict(self.read)
        values: dict[fx.Node, Tensor] = {}

        def rows_of(node: fx.Node, rows: Span) -> Tensor:
            if node not in values:
                values[node] = read(node, spans[node])
            return _slice(values[node], spans[node], rows)

        for instruction in self.instructions:
            inputs = [rows_of(node, rows) for node, rows in instruction.inputs]
            for node in instruction.freed:
                del values[node]
            values[instruction.node] = instruction.run(inputs)
            spans[instruction.node] = instruction.rows
            del inputs
        return {node: rows_of(node, rows) for node, rows in self.wanted.items()}

    def peak(self, read: Mapping[fx.Node, int], row_bytes: Callable[[fx.Node], int]) -> int:
        """The most bytes at one time, from the bytes of what is decoded of sources, and of a row of each other tensor:
        twice those of a source while it is decoded, and of a target while it is encoded."""
        live: dict[fx.Node, int] = {}
        moments = [0]
        for instruction in self.instructions:
            for node, _ in instruction.inputs:
                if node in read and node not in live:
                    moments.append(sum(live.values()) + 2 * read[node])
                    live[node] = read[node]
            size = instruction.rows.height * row_bytes(instruction.node)
            if instruction.overwrites is None:
                inputs = sum(live.get(node, 0) for node, _ in instruction.inputs)
                scratch = instruction.step.scratch(instruction.rows, inputs, size)
                moments.append(sum(live.values()) + size + scratch)
            for node in instruction.freed:
                live.pop(node, None)
            live[instruction.node] = size
        encoded = max((rows.height * row_bytes(target) for target, rows in self.wanted.items()), default=0)
        return max(*moments, sum(live.values()) + encoded)


def _slice(tensor: Tensor, base: Span, rows: Span) -> Tensor:
    return tensor if rows == base else tensor[:, :, rows.within(base)]
