"""Inputs averaged over squares, in the map's own type."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, Method, Payload, Unsupported, floating
from actbench.feature_map import FLOAT_BITS
from actbench.info import OptionValue


class PooledInput(Codec):
    """Means over r×r squares, smaller at the borders: `C·⌈H/r⌉·⌈W/r⌉` values; decoded, each fills its square."""

    def __init__(self, fmap: FeatureMap, squares: int) -> None:
        super().__init__()
        self.size = (fmap.height, fmap.width)
        self.squares = squares

    @override
    def encode(self, x: Tensor) -> Payload:
        pooled = functional.avg_pool2d(x, self.squares, ceil_mode=True, count_include_pad=False)
        return Payload(means=floating(pooled))

    @override
    def decode(self, payload: Payload) -> Tensor:
        whole = functional.interpolate(payload["means"], scale_factor=float(self.squares), mode="nearest")
        return whole[:, :, : self.size[0], : self.size[1]]

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"squares": self.squares}


class GradientFilter(Method):
    """Takes the smallest squares that fit. The gradient of the weight is that of the averaged input; the gradient to
    the input is exact, where the paper's is of averages too, to save computation."""

    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        for side in range(1, max(fmap.height, fmap.width) + 1):
            means = fmap.channels * -(-fmap.height // side) * -(-fmap.width // side)
            if means * FLOAT_BITS <= allowance.bits:
                return PooledInput(fmap, side)
        needed = fmap.channels * FLOAT_BITS
        raise Unsupported(f"{fmap.name}: one mean a channel needs {needed} bits; {allowance.bits} are allowed")
