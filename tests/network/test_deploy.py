"""The deployed form: a copy, computed from what is stored, and the same function."""

from collections.abc import Callable, Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actbench.codec import Codec, Payload, floating
from actbench.network.deploy import StoredConvolution, deploy
from actbench.network.splice import Decode, Spliced, splice
from actbench.network.trace import TracedNetwork, trace

SIZE = (3, 16, 16)


class Halved(Codec):
    """Stores every other row and column; 1×1 convolutions can read that."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded = 0

    def encode(self, x: Tensor) -> Payload:
        return Payload(values=floating(x[:, :, ::2, ::2]))

    def decode(self, payload: Payload) -> Tensor:
        self.decoded += 1
        return F.interpolate(payload["values"], scale_factor=2.0)

    def convolve(self, payload: Payload, convolution: nn.Conv2d) -> Tensor | None:
        if convolution.kernel_size != (1, 1) or convolution.stride != (1, 1):
            return None
        return F.interpolate(convolution(payload["values"]), scale_factor=2.0)


class Inverted(nn.Module):
    """`narrow` reads a map alone; `wide` and `deep` share one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.narrow = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.wide, self.deep = nn.Conv2d(4, 6, 1), nn.Conv2d(4, 6, 3, padding=1)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.narrow(F.relu(self.stem(x)))))
        return self.head(F.relu(self.wide(x) + self.deep(x)).mean((2, 3)))


def spliced_with(codecs: Mapping[str, Codec], model: nn.Module) -> Spliced:
    spliced = splice(trace(model, SIZE), codecs)
    spliced.module.eval()
    return spliced


def test_pointwise_convolutions_are_computed_from_the_payload(randomize: Callable[[nn.Module], nn.Module]) -> None:
    spliced = spliced_with({"narrow": Halved(), "wide": Halved()}, randomize(Inverted()))
    images = torch.randn(3, *SIZE)
    with torch.no_grad():
        expected = spliced.module(images)
        deployed = deploy(spliced, 32, images[:1])
        torch.testing.assert_close(deployed.module(images), expected, rtol=1e-5, atol=1e-6)
    stored = [module for module in deployed.module.modules() if isinstance(module, StoredConvolution)]
    assert [module.convolution.in_channels for module in stored] == [8, 4]
    # The 3×3 convolution still needs the decoded map; nothing else does.
    assert [module.name for module in deployed.module.modules() if isinstance(module, Decode)] == ["wide"]
    assert list(deployed.encoders()) == ["narrow", "wide"]


def test_weights_are_quantised_after_folding(randomize: Callable[[nn.Module], nn.Module]) -> None:
    """Three values a channel at 2 bits in what convolves: the normalisation is part of it."""
    spliced = spliced_with({"narrow": Halved()}, randomize(Inverted()))
    deployed = deploy(spliced, 2, torch.randn(1, *SIZE))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in deployed.module.modules())
    convolutions = [module for module in deployed.module.modules() if isinstance(module, nn.Conv2d)]
    levels = {tuple(c.weight.shape): max(len(row.unique()) for row in c.weight.flatten(1)) for c in convolutions}
    assert levels[8, 3, 3, 3] > 3
    assert levels[4, 8, 1, 1] == levels[6, 4, 3, 3] == 3


@pytest.mark.parametrize("weights", [32, 4])
def test_what_was_spliced_stays_as_it_was(
    weights: int, residual: Callable[..., nn.Module], bottlenecks: Callable[[TracedNetwork, float], Mapping[str, Codec]]
) -> None:
    network = trace(residual(), SIZE)
    spliced = splice(network, bottlenecks(network, 0.5))
    images = torch.randn(2, *SIZE)
    with torch.no_grad():
        expected = spliced.module(images)
        code = spliced.module.code
        deployed = deploy(spliced, weights, images[:1])
        assert torch.equal(spliced.module(images), expected)
        if weights == 32:
            torch.testing.assert_close(deployed.module(images), expected, rtol=1e-4, atol=1e-5)
    assert spliced.module.code == code
    originals, copies = ({id(p) for p in part.module.parameters()} for part in (spliced, deployed))
    assert not originals & copies
