"""Mixed precision of rotated channels: which width each group of each map has."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, Method, UniformQuantizer, Unsupported
from actbench.codec.principal_components import Components
from actbench.feature_map import FLOAT_BITS
from actbench.recipe import Recipe, RecipeName
from actbench_plugins.mixed_precision.codec import GroupCodec
from actbench_plugins.mixed_precision.learned import LearnedGroupCodec
from actbench_plugins.mixed_precision.widths import best_widths

_IMAGES = 16
"""Images of the calibration sample on which quantisers are calibrated."""

QuantizerOfWidth = Mapping[int, UniformQuantizer | None]
"""A group's quantiser at each possible width, None where that is floating point."""


class MixedPrecision(Method):
    """Stores the principal components of the tensor before the nonlinearity in groups, `H·W·Σ_g n_g·b_g` bits.

    The widths b_g, each 0 or one that the allowance has, are those of least `Σ_g D_g(b_g)` that fit: D_g(b) is the
    squared error of the group's b-bit quantiser on the calibration sample, D_g(0) the group's variance. Recovery can
    learn others in their place.
    """

    def recipe(self, name: RecipeName) -> Recipe:
        return Recipe(gradual=self.options["widths"] == "learned")

    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        components = Components.of(stats.before)
        groups = _groups(fmap.channels, int(self.options["groups"]))
        positions = fmap.source[0] * fmap.source[1]
        needed = positions * len(groups[0]) * allowance.widths[-1]
        if needed > allowance.bits:
            raise Unsupported(f"{fmap.name}: the first group needs {needed} bits; {allowance.bits} are allowed")
        z = components.of_images(stats.before.sample[:_IMAGES])
        quantizers = [_quantizers(z[:, group], allowance.widths) for group in groups]
        errors = [_errors(components, z, group, choices) for group, choices in zip(groups, quantizers, strict=True)]
        del errors[0][0]  # the components of largest variance are always stored
        widths = best_widths([positions * len(group) for group in groups], errors, allowance.bits).widths
        kept = [number for number, width in enumerate(widths) if width]
        leading = components.only(torch.cat([groups[number] for number in kept]))
        sizes = [len(groups[number]) for number in kept]
        chosen = [quantizers[number][widths[number]] for number in kept]
        if self.options["widths"] == "learned":
            return LearnedGroupCodec(leading, sizes, chosen, allowance, positions)
        return GroupCodec(leading, sizes, chosen)


def _groups(channels: int, count: int) -> list[Tensor]:
    """The indices of `count` contiguous groups of the components, as equal as they can be."""
    return list(torch.arange(channels).tensor_split(max(1, min(count, channels))))


def _quantizers(z: Tensor, widths: tuple[int, ...]) -> QuantizerOfWidth:
    return {width: None if width == FLOAT_BITS else UniformQuantizer.calibrated(width, z) for width in widths}


def _errors(components: Components, z: Tensor, group: Tensor, quantizers: QuantizerOfWidth) -> dict[int, float]:
    """The error D_g at each width; `z` (images, C, H, W) are all components, each of variance 1."""
    energy = components.energy[group]
    errors = {0: float(energy.sum())}
    for width, quantizer in quantizers.items():
        with torch.no_grad():
            error = z[:, group] - (z[:, group] if quantizer is None else quantizer(z[:, group]))
        errors[width] = float(energy @ error.double().square().mean((0, 2, 3)))
    return errors
