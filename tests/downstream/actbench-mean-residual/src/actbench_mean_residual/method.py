"""`mean-residual`: each channel's mean, and what is left of every value in a few bits."""

from actbench.codec import Codec, Method, Payload, Unsupported, floating, unsigned


class MeanResidualCodec(Codec):
    """`x̂ = mean_c + (code − half)·step`: C·H·W·width bits, C·32 for means, 32 for the step of the image."""

    def __init__(self, width):
        super().__init__()
        self.width = width

    def encode(self, x):
        mean = x.float().mean((2, 3), keepdim=True)
        residual = x.float() - mean
        half = 2 ** (self.width - 1)
        step = residual.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12) / (half - 0.5)
        codes = (residual / step + half - 0.5).round().clamp(0, 2 * half - 1)
        return Payload(
            codes=unsigned(codes, self.width), mean=floating(mean, side=True), step=floating(step, side=True)
        )

    def decode(self, payload):
        half = 2 ** (self.width - 1)
        return payload["mean"] + (payload["codes"] - half + 0.5) * payload["step"]


class MeanResidual(Method):
    def codec(self, fmap, stats, allowance):
        side = 32 * (fmap.channels + 1)
        for width in allowance.widths:  # the widest first
            if width >= self.options["narrowest"] and fmap.elements * width + side <= allowance.bits:
                return MeanResidualCodec(width)
        raise Unsupported(f"{fmap.name}: no code is narrow enough for {allowance.bits} bits")
