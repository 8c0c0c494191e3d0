"""Groups whose widths are learned in recovery, by the price of their bits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from actbench.codec import Allowance, Folded, UniformQuantizer
from actbench.codec.learned_widths import InterpolatedQuantizer, bit_price
from actbench.codec.modules import pointwise
from actbench.codec.principal_components import Components
from actbench_plugins.mixed_precision.codec import Dropped, GroupCodec, Quantizers, StoredGroups
from actbench_plugins.mixed_precision.widths import best_widths


class LearnedGroupCodec(GroupCodec):
    """Groups that start with the planned widths, and learn others on the way: continuous ones, with the loss
    `max(0, bits − allowed) / allowed` beside the task's. At the end of the way they become those that fit together and
    lose least, `min Σ_g n_g·4^(b_g − w_g)`, exactly. A group of width 0 is dropped, never the first.

    `allowance`: of the map. `positions`: H·W before pooling.
    """

    def __init__(
        self,
        components: Components,
        sizes: Sequence[int],
        quantizers: Quantizers,
        allowance: Allowance,
        positions: int,
    ) -> None:
        super().__init__(components, sizes, quantizers)
        self.allowance = allowance
        self.positions = positions

    def approach(self, progress: float) -> None:
        """Lets widths be learned from 0 on, and rounds them at 1."""
        if progress == 0:
            self._learn()
        for quantizer in self._learned():
            quantizer.confine()
        if progress == 1:
            self._round()

    def price(self) -> Tensor:
        widths = [
            each.width if isinstance(each, InterpolatedQuantizer) else width
            for each, width in zip(self.core.quantizers, self.core.widths, strict=True)
        ]
        values = sum(size * width for size, width in zip(self.core.sizes, widths, strict=True))
        return bit_price(torch.as_tensor(self.positions * values), self.allowance.bits)

    def fold(self) -> Folded:
        stored = torch.tensor([width > 0 for width in self.core.widths])
        if bool(stored.all()):
            return super().fold()
        kept = stored.repeat_interleave(torch.tensor(self.core.sizes))
        weight = self.project.weight
        project = pointwise(weight[kept, :, 0, 0], _bias(self.project)[kept]).to(weight)
        expand = pointwise(self.core.expand.weight[:, kept, 0, 0], self.core.expand.bias).to(weight)
        groups = zip(self.core.sizes, self.core.quantizers, stored.tolist(), strict=True)
        sizes, quantizers = zip(*((size, quantizer) for size, quantizer, used in groups if used), strict=True)
        core = StoredGroups(
            expand, sizes, [each if isinstance(each, UniformQuantizer) else None for each in quantizers]
        )
        return Folded(core, project=project)

    def _learned(self) -> list[InterpolatedQuantizer]:
        return [each for each in self.core.quantizers if isinstance(each, InterpolatedQuantizer)]

    def _learn(self) -> None:
        for number, quantizer in enumerate(self.core.quantizers):
            possible = {*self.allowance.widths, *([0] if number else [])}
            if isinstance(quantizer, UniformQuantizer) and len(possible) > 1:
                learned = InterpolatedQuantizer(quantizer, possible)
                self.core.quantizers[number] = learned.to(self.project.weight.device)

    @torch.no_grad()
    def _round(self) -> None:
        elements = [self.positions * size for size in self.core.sizes]
        losses = [
            _losses(quantizer, size, width)
            for quantizer, size, width in zip(self.core.quantizers, self.core.sizes, self.core.widths, strict=True)
        ]
        widths = best_widths(elements, losses, self.allowance.bits).widths
        for number, (quantizer, width) in enumerate(zip(list(self.core.quantizers), widths, strict=True)):
            if isinstance(quantizer, InterpolatedQuantizer):
                quantizer.quantizer.width = width
                self.core.quantizers[number] = quantizer.quantizer if width else Dropped()


def _losses(quantizer: nn.Module, size: int, width: int) -> dict[int, float]:
    """What a group loses in each possible width, as if all groups lost the same a value in the learned ones; a width
    that is not learned stays."""
    if not isinstance(quantizer, InterpolatedQuantizer):
        return {width: 0.0}
    learned = quantizer.width.item()
    return {possible: size * 4 ** (learned - possible) for possible in quantizer.widths}


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
