"""Operators of ATen in ONNX: one function for each kind, by the operators' names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import torch
from torch import fx

from actbench.exporting.call import Call

Translation = Callable[[Call], Any]


def pairs(value: Any, count: int) -> list[int]:
    """One number for each of `count` dimensions, of a number or a list of one or more."""
    numbers = [value] if isinstance(value, int) else list(value)
    return numbers * count if len(numbers) == 1 else numbers


def convolution(call: Call) -> str:
    """A convolution of one, two or three dimensions."""
    count, padding = call.rank_of("input") - 2, call.get("padding", 0)
    pads: dict[str, Any] = {}
    if padding == "same":
        pads = {"auto_pad": "SAME_UPPER"}
    elif padding != "valid":
        pads = {"pads": pairs(padding, count) * 2}
    return call.add(
        "Conv",
        *_weighted(call),
        strides=pairs(call["stride"], count),
        dilations=pairs(call["dilation"], count),
        group=call["groups"],
        **pads,
    )


def transposed_convolution(call: Call) -> str:
    """A transposed convolution."""
    count = call.rank_of("input") - 2
    return call.add(
        "ConvTranspose",
        *_weighted(call),
        strides=pairs(call["stride"], count),
        pads=pairs(call["padding"], count) * 2,
        output_padding=pairs(call["output_padding"], count),
        dilations=pairs(call["dilation"], count),
        group=call["groups"],
    )


def linear(call: Call) -> str:
    """A linear layer: weights (out, in)."""
    x, weight, *bias = _weighted(call)
    if call.rank_of("input") == 2:
        return call.add("Gemm", x, weight, *bias, transB=1)
    product = call.add("MatMul", x, call.add("Transpose", weight, perm=[1, 0]))
    return call.add("Add", product, *bias) if bias else product


def _weighted(call: Call) -> list[str]:
    bias = [] if call["bias"] is None else [call.read("bias")]
    return [call.read("input"), call.read("weight"), *bias]


def batch_norm(call: Call) -> list[str]:
    """A batch normalisation in evaluation mode, in the form that gives statistics too: these are empty."""
    channels = call.shape_of("running_mean")[0]
    scale = call.read("weight") if call["weight"] is not None else _filled(call, channels, 1.0)
    shift = call.read("bias") if call["bias"] is not None else _filled(call, channels, 0.0)
    statistics = call.read("running_mean"), call.read("running_var")
    return [call.add("BatchNormalization", call.read("input"), scale, shift, *statistics, epsilon=call["eps"])]


def layer_norm(call: Call) -> str:
    """A normalisation over the last dimensions."""
    sizes = tuple(call["normalized_shape"])
    scale = call.read("weight") if call["weight"] is not None else _filled(call, sizes, 1.0)
    shift = [call.read("bias")] if call["bias"] is not None else []
    return call.add("LayerNormalization", call.read("input"), scale, *shift, axis=-len(sizes), epsilon=call["eps"])


def group_norm(call: Call) -> str:
    """A normalisation over groups of channels."""
    channels = call.fixed(call.shape_of("input")[1])
    scale = call.read("weight") if call["weight"] is not None else _filled(call, channels, 1.0)
    shift = call.read("bias") if call["bias"] is not None else _filled(call, channels, 0.0)
    groups = {"num_groups": call["num_groups"], "epsilon": call["eps"]}
    return call.add("GroupNormalization", call.read("input"), scale, shift, **groups)


def _filled(call: Call, shape: Any, value: float) -> str:
    return call.graph.constant(numpy.full(shape, value, numpy.float32))


def maximum_pool(call: Call) -> str:
    """Max-pooling."""
    size = pairs(call["kernel_size"], 2)
    return call.add(
        "MaxPool",
        call.read("self"),
        kernel_shape=size,
        strides=pairs(call.get("stride") or size, 2),
        pads=pairs(call["padding"], 2) * 2,
        dilations=pairs(call["dilation"], 2),
        ceil_mode=int(call["ceil_mode"]),
    )


def average_pool(call: Call) -> str:
    """Average pooling."""
    if call["divisor_override"] is not None:
        raise call.refused("a divisor of its own")
    size = pairs(call["kernel_size"], 2)
    return call.add(
        "AveragePool",
        call.read("self"),
        kernel_shape=size,
        strides=pairs(call.get("stride") or size, 2),
        pads=pairs(call["padding"], 2) * 2,
        ceil_mode=int(call["ceil_mode"]),
        count_include_pad=int(call["count_include_pad"]),
    )


def adaptive_pool(call: Call) -> str:
    """Pooling to a size: the average, or the largest."""
    given, wanted = call.sizes_of("self", 2), pairs(call["output_size"], 2)
    kind = "AveragePool" if "avg" in call.name else "MaxPool"
    if wanted == [1, 1]:
        return call.add(f"Global{kind}", call.read("self"))
    if any(size % part for size, part in zip(given, wanted, strict=True)):
        raise call.refused(f"parts of unequal size, {given} to {tuple(wanted)}")
    size = [size // part for size, part in zip(given, wanted, strict=True)]
    return call.add(kind, call.read("self"), kernel_shape=size, strides=size)


def resize(call: Call) -> str:
    """Interpolation, nearest or bilinear, to a size or by a factor."""
    mode = {"nearest2d": "nearest", "bilinear2d": "linear"}[call.name.removeprefix("upsample_")]
    where = "align_corners" if call.get("align_corners") else "half_pixel" if mode == "linear" else "asymmetric"
    named = {"mode": mode, "coordinate_transformation_mode": where, "nearest_mode": "floor", "axes": [2, 3]}
    factors = call.get("scale_factors")
    if factors is None:
        sizes = call.graph.constant([call.fixed(size) for size in call.shape[2:]])
        return call.add("Resize", call.read("input"), "", "", sizes, **named)
    return call.add("Resize", call.read("input"), "", call.graph.constant(numpy.array(factors, numpy.float32)), **named)


def simple(operator: str, **attributes: Any) -> Translation:
    """An operator of one tensor that ONNX has under a name, with these attributes."""
    return lambda call: call.add(operator, call.read(next(iter(call.given))), **attributes)


def binary(operator: str) -> Translation:
    """An operator of two tensors, or of a tensor and a number, broadcast alike."""

    def translate(call: Call) -> str:
        first, second = list(call.given)[:2]
        if call.get("alpha", 1) != 1:
            raise call.refused("a factor of its own")
        return call.add(operator, call.read_as(first, call.dtype), call.read_as(second, call.dtype))

    return translate


def clip(call: Call) -> str:
    """Values cut at one end, or at both."""
    low, high = (
        call.given.get(name, call.given.get(other)) for name, other in (("min", "min_val"), ("max", "max_val"))
    )
    x = call.read("self")
    for operator, end in (("Max", low), ("Min", high)):
        x = x if end is None else call.add(operator, x, call.read(end))
    return x


def relu6(call: Call) -> str:
    """A ReLU that is cut at 6."""
    return call.add("Clip", call.read("self"), call.graph.constant(0.0), call.graph.constant(6.0))


def silu(call: Call) -> str:
    """`x·sigmoid(x)`."""
    return call.add("Mul", call.read("self"), call.add("Sigmoid", call.read("self")))


def gelu(call: Call) -> str:
    """GELU, exact or by the hyperbolic tangent."""
    return call.add("Gelu", call.read("self"), approximate=call["approximate"])


def leaky_relu(call: Call) -> str:
    """A ReLU with a slope below 0."""
    return call.add("LeakyRelu", call.read("self"), alpha=float(call["negative_slope"]))


def elu(call: Call) -> str:
    """An exponential below 0."""
    if (call["scale"], call["input_scale"]) != (1, 1):
        raise call.refused("scales of its own")
    return call.add("Elu", call.read("self"), alpha=float(call["alpha"]))


def softplus(call: Call) -> str:
    """`log(1 + exp x)`."""
    if call["beta"] != 1:
        raise call.refused("a beta of its own")
    return call.add("Softplus", call.read("self"))


def prelu(call: Call) -> str:
    """A ReLU with learned slopes, one for each channel."""
    slopes, rank = call.read("weight"), call.rank_of("self")
    shape = call.graph.constant([-1, *[1] * (rank - 2)])
    return call.add("PRelu", call.read("self"), call.add("Reshape", slopes, shape))


def along(operator: str) -> Translation:
    """An operator along one dimension, such as softmax."""
    return lambda call: call.add(operator, call.read("self"), axis=int(call["dim"]))


def reduced(operator: str) -> Translation:
    """A mean, sum or extreme over some dimensions."""

    def translate(call: Call) -> str:
        dims = [] if call.get("dim") is None else pairs(call["dim"], 1)
        axes = [call.graph.constant(dims)] if dims else []
        return call.add(operator, call.read_as("self", call.dtype), *axes, keepdims=int(call.get("keepdim", False)))

    return translate


def same(call: Call) -> Any:
    """What hands a tensor on, in another type perhaps."""
    return call.read_as(next(iter(call.given)), call.dtype)


def arranged(call: Call) -> str:
    """Another shape for the same values, in their order."""
    first = next(iter(call.given))
    batch = call.shape_of(first)[:1]
    sizes = [
        size if isinstance(size, int) else 0 if place == 0 and (size,) == batch else -1
        for place, size in enumerate(call.shape)
    ]
    if sizes.count(-1) > 1:
        raise call.refused("sizes that depend on the number of images")
    return call.add("Reshape", call.read(first), call.graph.constant(sizes))


def permuted(call: Call) -> str:
    """Dimensions in another order."""
    order = list(range(call.rank_of("self")))
    if call.name == "permute":
        order = [dim % len(order) for dim in call["dims"]]
    elif call.name == "transpose":
        one, other = call["dim0"] % len(order), call["dim1"] % len(order)
        order[one], order[other] = other, one
    else:  # `t`, `.T`, `.mT`
        order = order[:-2] + order[-2:][::-1]
    return call.add("Transpose", call.read("self"), perm=order)


def expanded(call: Call) -> str:
    """A tensor repeated along dimensions of size 1."""
    sizes = [size if isinstance(size, int) else 1 for size in call.shape]
    return call.add("Expand", call.read("self"), call.graph.constant(sizes))


def joined(call: Call) -> str:
    """Tensors one after the other."""
    return call.add("Concat", *map(call.read, call["tensors"]), axis=int(call["dim"]))


def part(call: Call) -> str:
    """Some of a dimension, from a start to an end."""
    ends = [call.get("start", 0), call.get("end", (1 << 63) - 1), int(call["dim"]), int(call["step"])]
    return call.add("Slice", call.read("self"), *(call.graph.constant([call.fixed(end)]) for end in ends))


def selected(call: Call) -> str:
    """One of a dimension, which is gone then."""
    index = call.graph.constant(numpy.array(call["index"], numpy.int64))
    return call.add("Gather", call.read("self"), index, axis=int(call["dim"]))


def divided(call: Call) -> list[str]:
    """A tensor in parts along a dimension."""
    dim, starts = int(call.get("dim", 0)), 0
    parts: list[str] = []
    for value in call.node.meta["val"]:
        size = call.fixed(value.shape[dim])
        ends = (call.graph.constant([end]) for end in (starts, starts + size, dim))
        parts.append(call.add("Slice", call.read("self"), *ends))
        starts += size
    return parts


def item(call: Call) -> Any:
    """One of several tensors."""
    source, index = call.node.args
    assert isinstance(source, fx.Node)
    return call.values[source][index]


def padded(call: Call) -> str:
    """Values around the last dimensions: constant, mirrored or repeated."""
    mode = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}.get(call.get("mode", "constant"))
    if mode is None:
        raise call.refused(f"padding that is {call['mode']}")
    ends, rank = list(call["pad"]), call.rank_of("self")
    missing = [0] * (rank - len(ends) // 2)
    pads = call.graph.constant([*missing, *ends[::2][::-1], *missing, *ends[1::2][::-1]])
    value = torch.tensor(call.get("value", 0.0), dtype=call.dtype).numpy()
    return call.add("Pad", call.read("self"), pads, call.graph.constant(value), mode=mode)


def pixels_shuffled(call: Call) -> str:
    """Channels that become pixels."""
    return call.add("DepthToSpace", call.read("self"), blocksize=call["upscale_factor"], mode="CRD")


def power(call: Call) -> str:
    """A tensor to the power of a number."""
    return call.add("Pow", call.read("self"), call.read("exponent"))


def reciprocal_root(call: Call) -> str:
    """`1 / √x`."""
    return call.add("Reciprocal", call.add("Sqrt", call.read("self")))
