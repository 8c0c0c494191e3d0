"""What multiply-accumulates read, and in how many bits: widths of values followed through every operation of torch, in
layers of the network and inside codecs alike.

Weights have the width to which they are quantised, codes that of their field. Values stay codes where they are only
moved, or scaled and shifted by constants; whatever else is computed of them is fp32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakTensorKeyDictionary

from actbench.feature_map import FLOAT_BITS

_MOVING = """
    _reshape_alias _to_copy _unsafe_view alias as_strided cat channel_shuffle chunk clone constant_pad_nd copy detach
    expand flatten flip gather index index_put index_select lift_fresh masked_scatter masked_select max_pool2d
    max_pool2d_with_indices permute pixel_shuffle pixel_unshuffle repeat reshape roll scatter select slice slice_scatter
    split split_with_sizes squeeze stack t transpose unbind unflatten unfold unsqueeze upsample_nearest2d view
"""
_SCALING = "add ceil clamp clamp_max clamp_min div floor mul neg round rsub sub"
_MOVES, _SCALES = frozenset(_MOVING.split()), frozenset(_SCALING.split())
_NO_PRODUCTS = ("norm", "prelu")
_PRODUCTS: dict[str, tuple[int, int]] = {"addmm": (1, 2), "baddbmm": (1, 2)}
"""Where the operands of a product are, if not in front."""


@dataclass(frozen=True)
class Operand:
    """What is known of a tensor: the width of its values, whether it is the same for every image, and the parameter
    that it is computed from, if it is."""

    width: int
    constant: bool = False
    parameter: str = ""


_CONSTANT = Operand(FLOAT_BITS, constant=True)


class Operations(TorchDispatchMode):
    """Counts multiply-accumulates, and bit operations as the product of the operands' widths, of all that runs inside.

    `outside`: the width of what does not come from torch, an entropy coder's symbols for example; None where nothing
    comes from outside. `in_fp32`: the names of parameters of which products were computed without quantisation.
    """

    def __init__(self, module: nn.Module, widths: Mapping[int, int]) -> None:
        """`widths`: of quantised parameters, by their `id`."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0
        self.bit_operations = 0
        self.outside: int | None = None
        self.in_fp32: set[str] = set()
        self._known: Any = WeakTensorKeyDictionary()
        for name, parameter in module.named_parameters():
            self._known[parameter] = Operand(widths.get(id(parameter), FLOAT_BITS), True, name)
        for buffer in module.buffers():
            self._known[buffer] = _CONSTANT

    def mark(self, tensor: Tensor, width: int) -> None:
        """Says that a tensor holds values of an image, of this width."""
        self._known[tensor] = Operand(width)

    def mark_constant(self, tensor: Tensor) -> None:
        """Says that a tensor only scales and shifts others, as side information does."""
        self._known[tensor] = _CONSTANT

    def mark_outside(self, tensor: Tensor) -> None:
        """Marks a tensor of which nothing is known as what comes from outside."""
        self._known[tensor] = self._operand(tensor)

    def _operand(self, tensor: Tensor) -> Operand:
        """What is known of a tensor; one number is a constant."""
        unknown = _CONSTANT if self.outside is None or tensor.dim() == 0 else Operand(self.outside)
        known: Operand = self._known.get(tensor, unknown)
        return known

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        operands = [self._operand(x) for x in inputs]
        result = func(*args, **kwargs)
        packet, name = func.overloadpacket, func.overloadpacket.__name__.rstrip("_")
        if packet in flop_registry:
            first, second = (self._operand(args[place]) for place in _PRODUCTS.get(name, (0, 1)))
            self._multiply(flop_registry[packet](*args, **kwargs, out_val=result) // 2, first, second)
        elif _may_multiply(name, operands):
            # Fused layers, of attention for example, multiply by matrices among their parameters.
            self._note(operand for x, operand in zip(inputs, operands, strict=True) if x.dim() == 2)
        if operands:
            self._remember(result, _result(name, operands))
        return result

    def _multiply(self, macs: int, first: Operand, second: Operand) -> None:
        self.macs += macs
        self.bit_operations += macs * first.width * second.width
        self._note((first, second))

    def _note(self, operands: Iterable[Operand]) -> None:
        self.in_fp32 |= {each.parameter for each in operands if each.parameter and each.width == FLOAT_BITS}

    def _remember(self, result: Any, operand: Operand) -> None:
        for output in tree_leaves(result):
            if isinstance(output, Tensor):
                self._known[output] = operand


def _may_multiply(name: str, operands: Sequence[Operand]) -> bool:
    if all(operand.constant for operand in operands):
        return False
    return name not in _MOVES | _SCALES and not any(part in name for part in _NO_PRODUCTS)


def _result(name: str, operands: Sequence[Operand]) -> Operand:
    """What is known of an operation's result."""
    of_images = [each.width for each in operands if not each.constant]
    if not of_images:
        computed = next((each for each in operands if each.parameter), _CONSTANT)
        return computed if name in _MOVES else replace(computed, width=FLOAT_BITS)
    if name in _MOVES or (name in _SCALES and len(of_images) == 1):
        return Operand(max(of_images))
    return Operand(FLOAT_BITS)
