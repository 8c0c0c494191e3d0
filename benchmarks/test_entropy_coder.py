"""Strings of the entropy coder, with as many models as a map has channels, beside constriction's own calls."""

import constriction
import numpy
import pytest
import torch

from actbench.codec import entropy_coder

IMAGES, CHANNELS, POSITIONS, LEVELS = 16, 64, 28 * 28, 32


def symbols() -> torch.Tensor:
    """(images, channels, positions) of which small ones are frequent."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(IMAGES, CHANNELS, POSITIONS, generator=generator).abs() * 4
    return drawn.int().clamp(max=LEVELS - 1)


def models(drawn: torch.Tensor) -> list[tuple[entropy_coder.Categorical, int]]:
    counts = torch.stack([torch.bincount(drawn[:, channel].flatten(), minlength=LEVELS) for channel in range(CHANNELS)])
    return [(entropy_coder.model_of(entropy_coder.frequencies_of(each)), 1) for each in counts]


def by_actbench(drawn: torch.Tensor, of_channels: list[tuple[entropy_coder.Categorical, int]]) -> torch.Tensor:
    coders = [entropy_coder.Coder() for _ in drawn]
    entropy_coder.push(coders, drawn, of_channels)
    return entropy_coder.pop(entropy_coder.coders_of(entropy_coder.strings_of(coders)), of_channels, POSITIONS)


def by_constriction(drawn: torch.Tensor, of_channels: list[tuple[entropy_coder.Categorical, int]]) -> torch.Tensor:
    decoded = []
    for image in drawn.numpy():
        coder = constriction.stream.stack.AnsCoder()
        for channel in reversed(range(CHANNELS)):
            coder.encode_reverse(image[channel], of_channels[channel][0])
        coder = constriction.stream.stack.AnsCoder(coder.get_compressed())
        decoded.append(numpy.stack([coder.decode(model, POSITIONS) for model, _ in of_channels]))
    return torch.from_numpy(numpy.stack(decoded))


WAYS = {"actbench": by_actbench, "constriction": by_constriction}


@pytest.mark.benchmark(group="entropy coding and decoding, 16×64×28×28", min_rounds=9)
@pytest.mark.parametrize("method", WAYS)
def test_strings(benchmark, method):
    drawn = symbols()
    assert torch.equal(benchmark(WAYS[method], drawn, models(drawn)), drawn)
