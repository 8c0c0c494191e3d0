"""Bits as they are counted, and payloads that are not what they claim to be."""

from collections.abc import Callable
from typing import ClassVar

import numpy
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actbench.codec import Codec, Payload, PlainCodec, UniformQuantizer, floating, signed, unsigned
from actbench.codec.payload import LENGTH_BITS
from actbench.errors import InvalidCodec
from actbench.measure.footprint import Meter, check_payloads, measure_footprint, spread
from actbench.measure.tables import static_bits
from actbench.network.splice import Spliced, splice
from actbench.network.trace import TracedNetwork, trace
from actbench.records.parts.footprint import Spread

SIZE = (3, 8, 8)


class Tiny(nn.Module):
    """Maps of 4×8×8 and 5×4×4."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide, self.deep = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 1, 2), nn.Conv2d(5, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.deep(F.relu(self.wide(F.relu(self.stem(x)))))


@pytest.fixture(scope="module")
def network() -> TracedNetwork:
    torch.manual_seed(0)
    return trace(Tiny(), SIZE)


def images(count: int, seed: int = 1) -> Tensor:
    return torch.randn(count, *SIZE, generator=torch.Generator().manual_seed(seed))


def spliced_with(network: TracedNetwork, **codecs: Codec) -> Spliced:
    spliced = splice(network, codecs)
    spliced.module.eval()
    return spliced


class Sparse(Codec):
    """Values that are not zero, and where they are: as many as the image has."""

    def encode(self, x: Tensor) -> Payload:
        flat = x.flatten(1)
        kept = flat != 0
        return Payload(
            mask=unsigned(kept.float().reshape(x.shape), 1, side=True),
            values=floating(flat[kept], lengths=kept.sum(1)),
        )

    def decode(self, payload: Payload) -> Tensor:
        mask = payload["mask"]
        return torch.zeros_like(mask).masked_scatter(mask.bool(), payload["values"])

    def fallbacks(self, payload: Payload) -> Tensor:
        return payload.lengths("values") > 130


class Lossy(PlainCodec):
    """An honest quantiser that the dishonest below start from."""

    def __init__(self) -> None:
        super().__init__(UniformQuantizer(2, 0, 2, nonnegative=True))


class StashOnSelf(Lossy):
    def encode(self, x: Tensor) -> Payload:
        self.kept = x.clone()
        return super().encode(x)

    def decode(self, payload: Payload) -> Tensor:
        return self.kept


class StashInBuffer(StashOnSelf):
    """Has something to give before it has encoded anything."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = torch.zeros(4, 4, 8, 8)


class StashOnClass(Lossy):
    kept: ClassVar[Tensor]

    def encode(self, x: Tensor) -> Payload:
        StashOnClass.kept = x.clone()
        return super().encode(x)

    def decode(self, payload: Payload) -> Tensor:
        return StashOnClass.kept


class StashOnTensor(Lossy):
    """Hangs the map on the tensor that the payload carries."""

    def encode(self, x: Tensor) -> Payload:
        payload = super().encode(x)
        payload["codes"].kept = x.clone()  # type: ignore[attr-defined]
        return payload

    def decode(self, payload: Payload) -> Tensor:
        return getattr(payload["codes"], "kept", super().decode(payload))


class TooFewBits(Lossy):
    def encode(self, x: Tensor) -> Payload:
        return Payload(codes=unsigned(super().encode(x)["codes"], 1))


class Signed(Lossy):
    """Codes −4 … 3 do not fit into the 2 bits that are claimed."""

    def encode(self, x: Tensor) -> Payload:
        return Payload(codes=signed((super().encode(x)["codes"] - 2) * 2, 2))


class Fractions(Lossy):
    def encode(self, x: Tensor) -> Payload:
        return Payload(codes=unsigned(x.clamp(0, 3), 2))


class HalfClaimed(Lossy):
    """Values of 32 bits for the price of 16."""

    def encode(self, x: Tensor) -> Payload:
        payload = Payload(values=floating(x.half()))
        vars(payload.fields["values"])["values"] = x
        return payload

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"].float()


class WidthByImage(Lossy):
    """Says in the layout what it does not say in the bits."""

    def encode(self, x: Tensor) -> Payload:
        name = "dark" if float(x.mean()) < self.threshold else "bright"
        return Payload(**{name: super().encode(x).fields["codes"]})

    threshold = 0.0

    def decode(self, payload: Payload) -> Tensor:
        return self.quantizer.decode(payload[next(iter(payload))])


class ScaleOfBatch(Lossy):
    """One scale for the batch, as if a batch were one image."""

    def encode(self, x: Tensor) -> Payload:
        scale = x.amax().reshape(1)
        return Payload(codes=unsigned((x / scale * 3).round(), 2), scale=floating(scale))

    def decode(self, payload: Payload) -> Tensor:
        return payload["codes"] / 3 * payload["scale"]


class SharedByBatch(Lossy):
    """Codes relative to the mean of the batch, which the first image pays for alone: nothing works with one image."""

    def encode(self, x: Tensor) -> Payload:
        first = torch.arange(len(x)) == 0
        size = x[0].numel()
        lengths = torch.where(first, size, 0)
        return Payload(values=floating(x.mean(0).flatten(), lengths=lengths))

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"].reshape(1, 4, 8, 8).expand(payload.batch, -1, -1, -1)


@pytest.mark.parametrize(
    "codec", [PlainCodec(None), Lossy(), Sparse(), PlainCodec(UniformQuantizer(11, -1, 3)), PlainCodec(None).half()]
)
def test_honest_codecs_pass(network: TracedNetwork, codec: Codec) -> None:
    check_payloads(spliced_with(network, wide=codec), images(4), images(4, 2))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (StashOnSelf, "decode fails on the packed payload alone: AttributeError"),
        (StashInBuffer, "decode gives other values from the packed payload alone"),
        (StashOnClass, "decode gives other values from the packed payload alone"),
        (StashOnTensor, "decode gives other values from the packed payload alone"),
        (TooFewBits, "claims 1 bits and holds values outside 0 … 1"),
        (Signed, "claims 2 bits and holds values outside -2 … 1"),
        (Fractions, "claims 2-bit integers and holds values that are none"),
        (HalfClaimed, "claims 16 bits for values of type torch.float32"),
        (ScaleOfBatch, "different numbers of images"),
        (SharedByBatch, "wide"),
    ],
)
def test_dishonest_codecs_are_invalid(network: TracedNetwork, make: Callable[[], Codec], reason: str) -> None:
    spliced = spliced_with(network, wide=make())
    with pytest.raises(InvalidCodec, match=reason):
        check_payloads(spliced, images(4), images(4, 2))


def test_a_layout_that_changes_with_the_image_is_invalid(network: TracedNetwork) -> None:
    codec = WidthByImage()
    spliced = spliced_with(network, wide=codec)
    first, second = images(2), 5 * images(2, 2)
    means = [float(network.module.stem(x).relu().mean()) for x in (first, second)]
    codec.threshold = sum(means) / 2
    with pytest.raises(InvalidCodec, match="layout changes from image to image"):
        check_payloads(spliced, first, second)
    with Meter(spliced):
        spliced.module(first)
        with pytest.raises(InvalidCodec, match="wide: the payload's layout changes"):
            spliced.module(second)


def test_bits_of_ragged_payloads_image_by_image(network: TracedNetwork) -> None:
    spliced, x = spliced_with(network, wide=Sparse()), images(30)
    with Meter(spliced) as meter, torch.no_grad():
        for part in x.split(8):
            spliced.module(part)
        spliced_values = network.module.stem(x).relu()
    spliced.module(x)  # is not counted any more
    kept = (spliced_values != 0).flatten(1).sum(1)
    expected = 4 * 64 + LENGTH_BITS + 32 * kept
    wide, deep = network.maps
    assert meter.bits(wide).tolist() == expected.tolist()
    assert meter.bits(deep).tolist() == [5 * 16 * 32]
    assert meter.side_bits(wide) == 4 * 64
    assert meter.fallbacks(wide) == int((kept > 130).sum())
    assert meter.fallbacks(deep) is None
    footprint = measure_footprint(network, spliced.codecs(), static_bits(spliced, 32), meter, None, 0)
    row = footprint.maps[0].bits
    assert row.mean == pytest.approx(expected.double().mean())
    assert row.percentile_99 == pytest.approx(numpy.percentile(expected.numpy(), 99))
    assert row.maximum == int(expected.max())
    assert row.samples == expected.tolist()
    assert footprint.traffic.samples == (expected + 5 * 16 * 32).tolist()
    assert footprint.peak.samples == expected.clamp_min(5 * 16 * 32).tolist()
    assert footprint.bits_per_value == pytest.approx(footprint.traffic.mean / (256 + 80))
    assert footprint.side_bits == 4 * 64


def test_bits_of_fixed_payloads_by_hand(network: TracedNetwork) -> None:
    spliced = spliced_with(network, wide=Lossy(), deep=PlainCodec(None))
    with Meter(spliced) as meter, torch.no_grad():
        spliced.module(images(3))
    footprint = measure_footprint(network, spliced.codecs(), static_bits(spliced, 32), meter, 10_000, 0)
    assert footprint.peak == Spread(mean=2560, percentile_99=2560, maximum=2560)
    assert footprint.traffic.maximum == 2 * 256 + 2560
    assert (footprint.reference_peak, footprint.reference_traffic) == (32 * 256, 32 * 336)
    assert footprint.limit == 10_000
    assert footprint.static_bits == 2 * 32  # both ends of the clip
    assert [row.choices for row in footprint.maps] == [{"bits": 2}, {"bits": 32}]


def test_the_peak_is_the_largest_map_of_each_image(network: TracedNetwork) -> None:
    """Not the largest of the means: another map may be the largest in another image."""
    spliced = spliced_with(network, wide=Sparse(), deep=PlainCodec(UniformQuantizer(11, 0, 1)))
    with Meter(spliced) as meter, torch.no_grad():
        spliced.module(images(20) * torch.linspace(0, 2, 20).reshape(-1, 1, 1, 1))
    wide, deep = (meter.bits(fmap) for fmap in network.maps)
    footprint = measure_footprint(network, spliced.codecs(), static_bits(spliced, 32), meter, None, 0)
    assert footprint.peak.mean == pytest.approx(torch.maximum(wide, deep).double().mean())


def test_spread_keeps_samples_only_where_they_differ() -> None:
    assert spread(torch.tensor([7, 7, 7])).samples is None
    assert spread(torch.tensor([7, 8])).samples == [7, 8]
    assert spread(torch.arange(30_000)).samples is None
