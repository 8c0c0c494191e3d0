"""Which operator of ATen is translated by what."""

from __future__ import annotations

from collections.abc import Mapping

from actbench.exporting import choices
from actbench.exporting import operators as ops
from actbench.exporting.codes import dequantized, quantized

_SAME_NAMES = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "hardswish": "HardSwish",
    "mish": "Mish",
    "selu": "Selu",
    "softsign": "Softsign",
    "exp": "Exp",
    "log": "Log",
    "abs": "Abs",
    "neg": "Neg",
    "sqrt": "Sqrt",
    "reciprocal": "Reciprocal",
    "floor": "Floor",
    "ceil": "Ceil",
    "round": "Round",
    "erf": "Erf",
    "sin": "Sin",
    "cos": "Cos",
}
_BINARY = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "matmul": "MatMul",
    "mm": "MatMul",
    "bmm": "MatMul",
    "maximum": "Max",
    "minimum": "Min",
}
_COMPARED = {"lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual", "eq": "Equal"}
_BITWISE = {"__and__": "And", "__or__": "Or", "bitwise_and": "And", "bitwise_or": "Or"}
_REDUCED = {"mean": "ReduceMean", "sum": "ReduceSum", "amax": "ReduceMax", "amin": "ReduceMin"}
_SAME = ("alias", "clone", "contiguous", "detach", "dropout", "feature_dropout", "lift_fresh_copy", "to", "_to_copy")
_ARRANGED = ("reshape", "view", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze")

TRANSLATIONS: Mapping[str, ops.Translation] = {
    "to_codes": quantized,
    "to_values": dequantized,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), ops.convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), ops.transposed_convolution),
    "linear": ops.linear,
    "_native_batch_norm_legit_no_training": ops.batch_norm,
    "layer_norm": ops.layer_norm,
    "group_norm": ops.group_norm,
    "max_pool2d": ops.maximum_pool,
    "avg_pool2d": ops.average_pool,
    "adaptive_avg_pool2d": ops.adaptive_pool,
    "adaptive_max_pool2d": ops.adaptive_pool,
    "upsample_nearest2d": ops.resize,
    "upsample_bilinear2d": ops.resize,
    **{name: ops.simple(operator) for name, operator in _SAME_NAMES.items()},
    "hardsigmoid": ops.simple("HardSigmoid", alpha=1 / 6, beta=0.5),
    **{name: ops.binary(operator) for name, operator in _BINARY.items()},
    **dict.fromkeys(("clamp", "clip", "hardtanh", "clamp_min", "clamp_max"), ops.clip),
    "relu6": ops.relu6,
    "silu": ops.silu,
    "gelu": ops.gelu,
    "leaky_relu": ops.leaky_relu,
    "elu": ops.elu,
    "softplus": ops.softplus,
    "prelu": ops.prelu,
    "pow": ops.power,
    "rsqrt": ops.reciprocal_root,
    "softmax": ops.along("Softmax"),
    "log_softmax": ops.along("LogSoftmax"),
    **{name: ops.reduced(operator) for name, operator in _REDUCED.items()},
    **dict.fromkeys(_SAME, ops.same),
    **dict.fromkeys(_ARRANGED, ops.arranged),
    **dict.fromkeys(("permute", "transpose", "t", "numpy_T", "mT"), ops.permuted),
    **dict.fromkeys(("expand", "expand_as"), ops.expanded),
    **dict.fromkeys(("cat", "concat", "concatenate"), ops.joined),
    "slice": ops.part,
    "select": ops.selected,
    **dict.fromkeys(("chunk", "split", "split_with_sizes", "tensor_split", "unsafe_split"), ops.divided),
    "getitem": ops.item,
    **dict.fromkeys(("pad", "constant_pad_nd"), ops.padded),
    **{name: choices.compared(operator) for name, operator in _COMPARED.items()},
    "ne": choices.different,
    **{name: choices.bitwise(operator) for name, operator in _BITWISE.items()},
    "where": choices.chosen,
    "count_nonzero": choices.counted,
    "cumsum": choices.running_sum,
    "kthvalue": choices.kth_smallest,
    "nan_to_num": choices.without_nan,
    "square": choices.square,
    "rsub": choices.subtracted_from,
    "ones_like": choices.alike(1),
    "zeros_like": choices.alike(0),
    "stack": choices.stacked,
    "narrow": choices.narrowed,
    "pixel_shuffle": ops.pixels_shuffled,
}
