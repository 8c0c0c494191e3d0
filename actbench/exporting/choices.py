"""Operators of ATen that compare, choose and count, in ONNX: what codecs do that look at an image's values."""

from __future__ import annotations

import numpy
import torch
from torch import fx

from actbench.exporting.call import Call
from actbench.exporting.operators import Translation


def compared(operator: str) -> Translation:
    """A comparison of two tensors, or of a tensor and a number."""

    def translate(call: Call) -> str:
        first, second = list(call.given)[:2]
        dtype = torch.float32 if _is_floating(call, first) or _is_floating(call, second) else torch.int64
        return call.add(operator, call.read_as(first, dtype), call.read_as(second, dtype))

    return translate


def different(call: Call) -> str:
    """Whether two are not equal."""
    return call.add("Not", compared("Equal")(call))


def bitwise(operator: str) -> Translation:
    """A logical operator, of each bit where tensors hold whole numbers."""

    def translate(call: Call) -> str:
        first, second = list(call.given)[:2]
        kind = operator if call.dtype == torch.bool else f"Bitwise{operator}"
        return call.add(kind, call.read_as(first, call.dtype), call.read_as(second, call.dtype))

    return translate


def chosen(call: Call) -> str:
    """One of two values, by a condition."""
    return call.add(
        "Where", call.read("condition"), call.read_as("self", call.dtype), call.read_as("other", call.dtype)
    )


def counted(call: Call) -> str:
    """How many values along some dimensions are not zero."""
    given = call.read("self")
    truth = given if call.given["self"].meta["val"].dtype == torch.bool else call.cast(given, torch.bool)
    dims = call.get("dim")
    axes = call.graph.constant([dims] if isinstance(dims, int) else list(dims))
    return call.add("ReduceSum", call.cast(truth, torch.int64), axes, keepdims=0)


def running_sum(call: Call) -> str:
    """Sums of all values up to each, along a dimension."""
    axis = call.graph.constant(numpy.array(call["dim"], numpy.int64))
    return call.add("CumSum", call.read_as("self", call.dtype), axis)


def kth_smallest(call: Call) -> list[str]:
    """The k-th smallest value along a dimension; where it stands is not known."""
    k, axis = call["k"], call["dim"] % call.rank_of("self")
    smallest = call.add("TopK", call.read("self"), call.graph.constant([k]), unread=1, axis=axis, largest=0)
    index = [k - 1] if call["keepdim"] else numpy.array(k - 1)
    return [call.add("Gather", smallest, call.graph.constant(index), axis=axis)]


def without_nan(call: Call) -> str:
    """Something else for what is no number."""
    x, put = call.read("self"), call.get("nan", 0.0)
    if torch.inf not in (call.get("posinf"), put) or call.get("neginf") is not None:
        raise call.refused("infinities become finite")
    return call.add("Where", call.add("IsNaN", x), call.graph.constant(float(put)), x)


def square(call: Call) -> str:
    """`x·x`."""
    return call.add("Mul", call.read("self"), call.read("self"))


def subtracted_from(call: Call) -> str:
    """`other − x`."""
    if call.get("alpha", 1) != 1:
        raise call.refused("a factor of its own")
    return call.add("Sub", call.read_as("other", call.dtype), call.read_as("self", call.dtype))


def alike(number: int) -> Translation:
    """One number, as often as another tensor has values."""

    def translate(call: Call) -> str:
        value = call.graph.tensor(torch.full((1,), number, dtype=call.dtype).numpy())
        return call.add("ConstantOfShape", call.add("Shape", call.read("self")), value=value)

    return translate


def stacked(call: Call) -> str:
    """Tensors beside each other in a new dimension."""
    axis = call["dim"] % len(call.shape)
    axes = call.graph.constant([axis])
    return call.add("Concat", *(call.add("Unsqueeze", call.read(one), axes) for one in call["tensors"]), axis=axis)


def narrowed(call: Call) -> str:
    """Some of a dimension, from a start, so many."""
    ends = call["start"], call["start"] + call["length"], call["dim"]
    return call.add("Slice", call.read("self"), *(call.graph.constant([call.fixed(end)]) for end in ends))


def _is_floating(call: Call, argument: str) -> bool:
    value = call.given[argument]
    return value.meta["val"].dtype.is_floating_point if isinstance(value, fx.Node) else isinstance(value, float)
