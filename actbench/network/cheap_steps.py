"""Cheap steps: what is computed again when it is read rather than kept. Whatever is not listed here is a layer."""

from __future__ import annotations

from torch import fx, nn

from actbench.codec.modules import NONLINEARITIES, POOLINGS
from actbench.network.nodes import function_name, module_of

_MODULES = (
    *NONLINEARITIES.values(),
    *POOLINGS.values(),
    *(nn.Softsign, nn.CELU, nn.LogSigmoid, nn.Threshold, nn.GLU, nn.Hardshrink, nn.Softshrink, nn.Tanhshrink),
    *(nn.Softmax, nn.Softmax2d, nn.LogSoftmax),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm),
    *(nn.MaxPool1d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool3d, nn.LPPool2d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    *(nn.Upsample, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle),
    *(nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d),
    *(nn.Flatten, nn.Unflatten),
)

_ELEMENTWISE = """
    abs add addcmul clamp clamp_max clamp_min clip div exp lerp log maximum minimum mul neg pow reciprocal rsqrt rsub
    sqrt square sub truediv floordiv floor_divide floor ceil round trunc sign sin cos erf remainder mod
    iadd isub imul itruediv where eq ne lt le gt ge logical_and logical_not logical_or masked_fill bitwise_not
    celu glu hardshrink log_softmax logsigmoid softmax softshrink softsign tanhshrink threshold
    bfloat16 double float half to type_as _to_copy detach clone copy
"""
_NORMALISATIONS = """
    batch_norm group_norm instance_norm layer_norm local_response_norm normalize rms_norm norm linalg_vector_norm
    native_group_norm native_layer_norm vector_norm
"""
_REDUCTIONS = """
    max_pool1d max_pool3d avg_pool1d avg_pool3d lp_pool2d max_pool2d_with_indices
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    amax amin max mean min std std_mean sum var var_mean
"""
_REARRANGEMENTS = """
    cat chunk concat concatenate getitem index index_select narrow select slice split split_with_sizes stack
    tensor_split unbind fill select_scatter setitem slice_scatter
    flatten movedim permute reshape squeeze swapaxes t transpose unflatten unsqueeze view _unsafe_view view_as
    expand expand_as flip repeat repeat_interleave roll
    channel_shuffle contiguous native_channel_shuffle pixel_shuffle pixel_unshuffle
"""
_VIEWS = frozenset(_REARRANGEMENTS.split()) - {"cat", "concat", "concatenate", "stack", "roll", "flip"}
_FUNCTIONS = frozenset(NONLINEARITIES).union(
    *(POOLINGS, ["interpolate", "pad", "upsample", "constant_pad_nd"]),
    *(names.split() for names in (_ELEMENTWISE, _NORMALISATIONS, _REDUCTIONS, _REARRANGEMENTS)),
)


def is_cheap(node: fx.Node) -> bool:
    """Whether a node's result is computed again when it is read: nonlinearities and other elementwise steps,
    normalisations, poolings, means, joins, and what only moves values."""
    return _calls(node, _MODULES, _FUNCTIONS)


def is_rearrangement(node: fx.Node) -> bool:
    """Whether a node takes a view of one tensor, or parts of it, in another shape or order."""
    return node.op in ("call_function", "call_method") and function_name(node).rstrip("_") in _VIEWS


def _calls(node: fx.Node, modules: tuple[type[nn.Module], ...], functions: frozenset[str]) -> bool:
    if node.op == "call_module":
        return isinstance(module_of(node), modules)
    return node.op in ("call_function", "call_method") and function_name(node).rstrip("_") in functions
