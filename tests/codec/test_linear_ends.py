"""Linear ends: what is between them is the core's, and a decoder stands where it can fold."""

import torch

from actbench.codec import Clipped, Linear, PlainCodec, UniformQuantizer, fit_decoder
from actbench.codec.linear_ends import LinearEnds, with_decoder
from actbench.codec.modules import pointwise
from actbench.feature_map import CHANNELS_LAST, FeatureMap, Reader


def plain() -> PlainCodec:
    return PlainCodec(UniformQuantizer(8, -4.0, 4.0))


def test_the_core_stores_what_is_projected() -> None:
    torch.manual_seed(0)
    x, rotation = torch.randn(2, 4, 3, 3), torch.linalg.qr(torch.randn(4, 4)).Q
    codec = LinearEnds(plain(), pointwise(rotation.T), pointwise(rotation))
    projected = torch.einsum("kc,nchw->nkhw", rotation, x)
    assert torch.equal(codec.encode(x)["codes"], plain().encode(codec.project(x))["codes"])  # type: ignore[misc]
    torch.testing.assert_close(codec.read(x), plain()(projected), atol=0.04, rtol=0)
    torch.testing.assert_close(codec(x), x, atol=0.05, rtol=0)
    folded = codec.fold()
    assert (folded.core, folded.project, folded.expand) == (codec.core, codec.project, codec.expand)
    assert isinstance(codec, Linear)
    assert not isinstance(codec, Clipped)
    assert codec.width is None


def test_a_decoder_can_be_refitted() -> None:
    torch.manual_seed(0)
    codec = LinearEnds(plain(), pointwise(torch.eye(4)))
    x, mixing = torch.randn(8, 4, 5, 5), torch.randn(4, 4)
    target = torch.einsum("kc,nchw->nkhw", mixing, codec(x).detach())
    fit_decoder(codec.decoder, codec.read(x), target)
    torch.testing.assert_close(codec.decoder.weight.detach()[:, :, 0, 0], mixing, atol=1e-3, rtol=0)


def test_a_decoder_stands_where_all_readers_take_it_in() -> None:
    convolution, addition = Reader("conv", "conv", (3, 3)), Reader("add", "add")

    def decoded(*readers: Reader, **changes: object) -> bool:
        fmap = FeatureMap("map", 4, 3, 3, "producer", readers, **changes)  # type: ignore[arg-type]
        codec, x = with_decoder(fmap, plain()), torch.randn(2, 4, 3, 3)
        assert torch.equal(codec(x), plain()(x))
        return isinstance(codec, LinearEnds)

    assert decoded(convolution)
    assert not decoded(convolution, addition)
    assert not decoded(Reader("depthwise", "conv", (3, 3), groups=4))
    assert not decoded(convolution, layout=CHANNELS_LAST)
    assert not decoded()
