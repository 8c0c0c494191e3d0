"""Plain quantisation: each map in the widest codes that fit."""

from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, Method, PlainCodec, Unsupported


class Quantize(Method):
    """Stores each value as one code: `x̂ = step·round((clip(x, low, high) − low)/step) + low`, in C·H·W·width bits.

    The width is the widest in the allowed range at which the map fits; the clip is calibrated for least squared
    error, and learned as in PACT where recovery is allowed.
    """

    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        width = allowance.plain_width(fmap)
        if width is None:
            needed = fmap.elements * allowance.widths[-1]
            raise Unsupported(
                f"{fmap.name} needs {needed} bits at {allowance.widths[-1]} bits a value; {allowance.bits} are allowed"
            )
        return PlainCodec.calibrated(fmap, stats, width)
