"""The WCC codec: transform, selection, quantisation; and 1×1 convolutions on what is stored."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from actbench.codec import Codec, FeatureMap, Field, Payload, UniformQuantizer, floating, unsigned
from actbench.codec.quantizers import at_least_fp32
from actbench.feature_map import FLOAT_BITS
from actbench.info import OptionValue
from actbench_plugins.wcc import haar
from actbench_plugins.wcc.positions import STATIC, choose, from_field, masked, static_positions, to_field, uses_bitmap
from actbench_plugins.wcc.transforms import Transform


class WaveletCodec(Codec):
    """Transforms, `y = T(pad(x))`, and stores y at the k positions of largest Σ_channels y², in `width`-bit codes with
    one clip, and the positions: `C·k·width + min(positions, k·⌈log2 positions⌉)` bits. Decoded,
    `x̂ = crop(T⁻¹(y, zero elsewhere))`.

    Coefficients are computed in fp32 (fp64 where the map is): one of the coarsest band is up to 2^levels times as large
    as the map's values, too large for half precision where the map itself is not.
    """

    def __init__(
        self, fmap: FeatureMap, transform: Transform, selection: str, count: int, quantizer: UniformQuantizer | None
    ) -> None:
        super().__init__()
        self.channels = fmap.channels
        self.size = (fmap.height, fmap.width)
        self.transform = transform
        self.selection = selection
        self.count = self.planned = count
        self.quantizer = quantizer

    def encode(self, x: Tensor) -> Payload:
        exact = at_least_fp32(x)
        coefficients = self.transform(haar.pad(exact, self.transform.levels))
        index = choose(self.selection, coefficients, self.count, self.transform)
        kept = coefficients.gather(2, index.expand(-1, coefficients.shape[1], -1))
        fields: dict[str, Field] = {}
        if self.selection not in STATIC:
            fields["where"] = to_field(index, self.transform.positions)
        if self.quantizer is None:
            return Payload(kept=floating(kept.to(x.dtype)), **fields)
        codes = self.quantizer.encode(kept)
        # The codes' type tells `decode` the map's; half precision holds codes exactly up to 8 bits.
        codes = codes.to(x.dtype) if self.quantizer.width <= 8 else codes
        return Payload(kept=unsigned(codes, self.quantizer.width), **fields)

    def encode_values(self, x: Tensor) -> Payload:
        exact = at_least_fp32(x)
        coefficients = self.transform(haar.pad(exact, self.transform.levels))
        values = coefficients if self.quantizer is None else self.quantizer(coefficients)
        kept = values * masked(self.selection, coefficients, self.count, self.transform)
        restored = self.transform.inverse(kept)[:, :, : self.size[0], : self.size[1]]
        return Payload(values=floating(restored.to(x.dtype)))

    def decode(self, payload: Payload) -> Tensor:
        if "values" in payload:
            return payload["values"]
        return self._restore(self._kept(payload), payload).to(payload["kept"].dtype)

    def convolve(self, payload: Payload, convolution: nn.Conv2d) -> Tensor | None:
        """A 1×1 convolution commutes with the transform: it needs the kept coefficients only, where all channels keep
        the same ones. The bias comes last: in the wavelet domain it would be added to every sub-band."""
        pointwise = convolution.kernel_size == convolution.stride == (1, 1) and convolution.groups == 1
        if not pointwise or convolution.padding != (0, 0) or self.selection == "channel":
            return None
        kept, weight = self._kept(payload), convolution.weight
        kept = functional.conv1d(kept, weight[:, :, :, 0].to(kept.dtype))  # one name: what was kept is freed
        result = self._restore(kept, payload).to(weight.dtype)
        return result if convolution.bias is None else result + convolution.bias[:, None, None]

    def describe(self) -> dict[str, OptionValue]:
        positions = self.transform.positions
        stored_as = "bit-map" if uses_bitmap(self.count, positions) else "index"
        return {
            "levels": self.transform.levels,
            "kept": self.count,
            "rate": round(self.count / positions, 4),
            "bits": self.quantizer.width if self.quantizer else FLOAT_BITS,
            "positions": "static" if self.selection in STATIC else stored_as,
        }

    def approach(self, progress: float) -> None:
        """Goes from all positions to the planned k, in equal ratios."""
        positions = self.transform.positions
        self.count = round(positions * (self.planned / positions) ** progress)

    @torch.no_grad()
    def clip_channels(self, x: Tensor) -> None:
        """Gives each channel's kept coefficients a clip of their own."""
        if self.quantizer is not None:
            coefficients = self.transform(haar.pad(at_least_fp32(x), self.transform.levels))
            index = choose(self.selection, coefficients, self.count, self.transform)
            self.quantizer.clip_channels(coefficients.gather(2, index.expand(-1, coefficients.shape[1], -1)))

    def operations(self, shape: tuple[int, int, int]) -> int:
        return self.transform.operations(shape[0])

    def _kept(self, payload: Payload) -> Tensor:
        """The values (batch, C, count) of the kept coefficients, in fp32 or fp64."""
        stored = payload["kept"]
        exact = at_least_fp32(stored)
        return exact if self.quantizer is None else self.quantizer.decode(exact)

    def _index(self, payload: Payload) -> Tensor:
        """The positions (batch, groups, count) of the kept coefficients."""
        if self.selection in STATIC:
            fixed = static_positions(self.selection, self.transform, self.count)
            return fixed.to(payload["kept"].device).expand(payload.batch, 1, -1)
        return from_field(payload["where"], self.count, self.transform.positions)

    def _restore(self, kept: Tensor, payload: Payload) -> Tensor:
        """The map whose coefficients are these at their positions, and zero elsewhere."""
        plane = kept.new_zeros(*kept.shape[:2], self.transform.positions)
        plane.scatter_(2, self._index(payload).expand(-1, kept.shape[1], -1), kept)
        return self.transform.inverse(plane)[:, :, : self.size[0], : self.size[1]]
