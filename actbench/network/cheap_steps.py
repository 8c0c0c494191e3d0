"""Cheap steps: what is computed again when it is read rather than kept. Whatever is not listed here is a layer."""

from __future__ import annotations

from torch import fx, nn

from actbench.codec.modules import NONLINEARITIES, POOLINGS
from actbench.network.nodes import function_name, module_of

_MODULES = (
    *NONLINEARITIES.values(),
    *POOLINGS.values(),
    *(nn.Softsign, nn.CELU, nn.LogSigmoid, nn.Threshold),
    *(nn.Softmax, nn.Softmax2d, nn.LogSoftmax),
    *(nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm),
    *(nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.LPPool2d),
    *(nn.Upsample, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle),
    *(nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d),
    *(nn.Flatten, nn.Unflatten),
)

_ELEMENTWISE = """
    abs add addcmul clamp clamp_max clamp_min clip div exp lerp log maximum minimum mul neg pow reciprocal rsqrt rsub
    sqrt square sub truediv where eq ne lt le gt ge
    celu log_softmax logsigmoid softmax softsign threshold
    bfloat16 double float half to type_as
"""
_NORMALISATIONS = "batch_norm group_norm instance_norm layer_norm local_response_norm normalize"
_REDUCTIONS = "adaptive_avg_pool2d adaptive_max_pool2d lp_pool2d amax amin max mean min std sum var"
_REARRANGEMENTS = """
    cat chunk concat concatenate getitem narrow select split stack tensor_split unbind
    flatten movedim permute reshape squeeze swapaxes transpose unflatten unsqueeze view
    expand expand_as flip repeat repeat_interleave roll
    channel_shuffle contiguous pixel_shuffle pixel_unshuffle
"""
_FUNCTIONS = frozenset(NONLINEARITIES).union(
    *(POOLINGS, ["interpolate", "pad", "upsample"]),
    *(names.split() for names in (_ELEMENTWISE, _NORMALISATIONS, _REDUCTIONS, _REARRANGEMENTS)),
)


def is_cheap(node: fx.Node) -> bool:
    """Whether a node's result is computed again when it is read: nonlinearities and other elementwise steps,
    normalisations, poolings, means, joins, and what only moves values."""
    return _calls(node, _MODULES, _FUNCTIONS)


def _calls(node: fx.Node, modules: tuple[type[nn.Module], ...], functions: frozenset[str]) -> bool:
    if node.op == "call_module":
        return isinstance(module_of(node), modules)
    return node.op in ("call_function", "call_method") and function_name(node).rstrip("_") in functions
