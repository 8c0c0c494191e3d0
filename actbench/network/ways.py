"""From a model to its graph: symbolic tracing first, and where that fails or computes something else, torch.export."""

from __future__ import annotations

import copy
import traceback
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.utils import remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.utils._pytree import tree_leaves

from actbench.errors import UserError
from actbench.network import nodes
from actbench.network.attention import open_attention
from actbench.network.exported import export
from actbench.network.layers import raise_layers

Way = Literal["fx", "export"]
"""How a network was traced: symbolically, or by torch.export."""

TOLERANCE = 1e-5
"""By how much outputs may differ, of the largest magnitude in them."""

_IMAGES = 2
"""Images on which a graph is compared with its model: of one alone it would not show that a graph is for one alone."""

Images = tuple[Tensor, ...]
"""A batch of each input that a model takes."""

WAYS: tuple[Way, ...] = ("fx", "export")
"""In the order in which they are tried."""

_ATTEMPTS: tuple[tuple[Way, bool], ...] = (("fx", False), ("export", False), ("export", True))
"""Ways, and whether writes into tensors become new tensors."""


class _OtherOutputs(Exception):
    """A graph computes something else than its model."""


@dataclass(frozen=True)
class Traced:
    """A model as a graph, and how it was traced. `notes`: what its user should know. `tensors`: which of the model's
    parameters and buffers each of the graph's is, by their names; what the graph computed from some is none of them."""

    module: fx.GraphModule
    way: Way
    notes: tuple[str, ...] = ()
    tensors: Mapping[str, str] = field(default_factory=dict)


def follow(model: nn.Module, *input_shapes: tuple[int, ...], ways: Collection[Way] = WAYS) -> Traced:
    """Traces a copy of a model, in evaluation and in fp32, by the first of the ways that leads to a graph that computes
    the same. `input_shapes`: of one image, (C, H, W), or of each of the inputs that the model takes. Raises UserError
    where the model does not accept such an image, and where no way leads to a graph, with the reasons."""
    own, notes = _copied(model)
    images = _images(own, input_shapes)
    expected, overwriting = _outputs(own, images), _overwriting(own)
    names = {id(tensor): name for name, tensor in named_tensors(own)}
    open_attention(own)
    reasons: dict[str, None] = {}
    for way, functional in [attempt for attempt in _ATTEMPTS if attempt[0] in ways]:
        for part in overwriting:  # what a graph does without is the model's all the same
            vars(part)["inplace"] = True
        try:
            with _silence():
                module = _graph(own, images, way, functional=functional)
                _compare(expected, module, images)
            return Traced(module, way, notes, _tensors(names, module))
        except Exception as error:  # the model's code, and the tracer's, may raise anything
            reasons[f"torch.{way} {_reason(error)}"] = None
            if way == "export" and not isinstance(error, _OtherOutputs):
                break
    raise UserError(f"{type(model).__name__} cannot be traced: {'; '.join(reasons)}")


def named_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yields parameters and buffers under all of their names."""
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _tensors(names: Mapping[int, str], module: fx.GraphModule) -> dict[str, str]:
    return {path: names[id(tensor)] for path, tensor in named_tensors(module) if id(tensor) in names}


def difference(expected: object, given: object) -> float:
    """By how much outputs differ at most, of the largest magnitude in each tensor. Infinity where they have another
    structure, or other values that are not finite."""
    before, after = tree_leaves(expected), tree_leaves(given)
    if len(before) != len(after):
        return float("inf")
    pairs = [pair for pair in zip(before, after, strict=True) if isinstance(pair[0], Tensor)]
    return max((_difference(one, other) for one, other in pairs), default=0.0)


def _difference(before: Tensor, after: object) -> float:
    if not isinstance(after, Tensor) or before.shape != after.shape:
        return float("inf")
    if before.is_quantized:
        before, after = before.dequantize(), after.dequantize()
    before, after = before.detach().double(), after.detach().double()
    finite = before.isfinite()
    if not torch.equal(before[~finite].nan_to_num(0), after[~finite].nan_to_num(0)):
        return float("inf")
    error = (before - after)[finite].abs().amax() if finite.any() else torch.zeros(())
    largest = before[finite].abs().amax() if finite.any() else torch.ones(())
    return float(error / largest) if largest else float("inf") * float(error > 0) if error else 0.0


def _copied(model: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """A copy in evaluation and in fp32, and what had to be changed for it."""
    # What an old way of normalising weights leaves in a module cannot be copied, and is computed again.
    computed = [value for part in model.modules() for value in vars(part).values() if isinstance(value, Tensor)]
    own = copy.deepcopy(model, {id(value): value.detach() for value in computed if value.grad_fn is not None}).eval()
    for part in own.modules():
        for hook in list(part._forward_pre_hooks.values()):
            if isinstance(hook, WeightNorm):
                remove_weight_norm(part, hook.name)
            elif isinstance(hook, SpectralNorm):
                remove_spectral_norm(part, hook.name)
    widths = {str(parameter.dtype).removeprefix("torch.") for parameter in own.parameters()} - {"float32"}
    if not widths:
        return own, ()
    return own.float(), (f"the model's weights are {', '.join(sorted(widths))}: it is measured in fp32",)


def _images(model: nn.Module, input_shapes: Sequence[tuple[int, ...]]) -> Images:
    parameter = next(model.parameters(), torch.empty(0))
    generator = torch.Generator().manual_seed(0)
    drawn = (torch.rand(_IMAGES, *shape, generator=generator) for shape in input_shapes)
    return tuple(images.to(parameter.device) for images in drawn)


def _outputs(model: nn.Module, images: Images) -> Any:
    try:
        with torch.no_grad(), _silence():
            return model(*(each.clone() for each in images))
    except Exception as error:
        size = " and ".join("×".join(map(str, each.shape[1:])) for each in images)
        raise UserError(f"the model does not accept an image of {size}: {_first_line(error)}") from error


def _overwriting(model: nn.Module) -> list[nn.Module]:
    return [part for part in model.modules() if getattr(part, "inplace", False) is True]


def _graph(model: nn.Module, images: Images, way: Way, *, functional: bool) -> fx.GraphModule:
    image = tuple(each[:1] for each in images)
    module = fx.symbolic_trace(model) if way == "fx" else export(model, image, functional=functional)
    _leave_out_defaults(module, len(image))
    nodes.simplify(module)
    _propagate_shapes(module, image)
    raise_layers(module)
    _propagate_shapes(module, image)
    return module


def _leave_out_defaults(module: fx.GraphModule, inputs: int) -> None:
    """Has what a model takes beside its inputs, a mask for example, be what it is by default."""
    for place in [node for node in module.graph.nodes if node.op == "placeholder"][inputs:]:
        if place.args:
            values = {node: node for node in module.graph.nodes} | {place: place.args[0]}
            for user in list(place.users):
                user.args = cast(Any, fx.node.map_arg(user.args, values.__getitem__))
                user.kwargs = cast(Any, fx.node.map_arg(user.kwargs, values.__getitem__))
            module.graph.erase_node(place)


def _propagate_shapes(module: fx.GraphModule, image: Images) -> None:
    with torch.no_grad():
        ShapeProp(module).propagate(*image)


def _compare(expected: Any, module: fx.GraphModule, images: Images) -> None:
    """Raises where a graph computes something else: after a write through a view, for example, or at random."""
    if any(each.is_meta for each in images):
        return
    with torch.no_grad():
        error = difference(expected, module(*(each.clone() for each in images)))
    if error > TOLERANCE:
        raise _OtherOutputs(
            f"gives other outputs (by {error:.1g} of the largest): the model writes into a tensor in place that it "
            "reads elsewhere, or is random in evaluation mode"
        )


@contextmanager
def _silence() -> Iterator[None]:
    """Tracers print the tracebacks of what they raise, and warn of what concerns those who wrote them."""
    with warnings.catch_warnings(), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        yield


def _reason(error: Exception) -> str:
    if isinstance(error, _OtherOutputs):
        return str(error)
    frame = _offending_frame(error)
    where = f"`{Path(frame.filename).name}:{frame.lineno}: {frame.line}`" if frame else "an unknown line"
    return f"stops at {where} ({_first_line(error)})"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error.__cause__ or error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]


def _offending_frame(error: Exception) -> traceback.FrameSummary | None:
    """The last line of the model's own code that an error came through."""
    inside = (str(Path(torch.__file__).parent), str(Path(__file__).parent), "<")
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if not frame.filename.startswith(inside)]
    return outside[-1] if outside else None
