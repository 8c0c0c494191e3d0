"""Statistics of normalisations, estimated again behind compressed maps."""

import torch
from torch import Tensor, nn

from actbench.codec import PlainCodec, UniformQuantizer
from actbench.fitting.normalisation import estimate_statistics, has_statistics
from actbench.network.splice import splice
from actbench.network.trace import TracedNetwork, trace

from .conftest import SIZE, images


def inputs_of_normalisations(module: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What every normalisation gets, in evaluation mode."""
    seen: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda _, args, out, name=name: seen.__setitem__(name, args[0].double()))
        for name, layer in module.named_modules()
        if isinstance(layer, nn.BatchNorm2d)
    ]
    with torch.no_grad():
        module(x)
    for hook in hooks:
        hook.remove()
    return seen


def test_every_normalisation_has_the_moments_of_what_it_gets(network: TracedNetwork) -> None:
    coarse = {fmap.name: PlainCodec(UniformQuantizer(2, 0, 2)) for fmap in network.maps}
    spliced = splice(network, coarse)
    estimate_statistics(spliced.module, images(20, 3))
    seen = inputs_of_normalisations(spliced.module, images(20, 3))
    assert len(seen) == 5
    for name, x in seen.items():
        layer = spliced.module.get_submodule(name)
        torch.testing.assert_close(layer.get_buffer("running_mean").double(), x.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
        variance = x.var((0, 2, 3), correction=1)
        torch.testing.assert_close(layer.get_buffer("running_var").double(), variance, rtol=1e-4, atol=1e-5)


def test_the_fp32_network_stays_as_it_was(network: TracedNetwork) -> None:
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    spliced = splice(network, {})
    estimate_statistics(spliced.module, 3 * images(20))
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())
    assert any(not torch.equal(value, before[name]) for name, value in spliced.module.state_dict().items())


def test_one_position_leaves_no_variance_and_no_error() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 12), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    network = trace(module, SIZE)
    estimate_statistics(network.module, images(1))
    assert all(bool(value.isfinite().all()) for value in network.module.state_dict().values())


def test_a_network_without_normalisations_has_none(network: TracedNetwork) -> None:
    assert has_statistics(network.module)
    assert not has_statistics(nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(1, 4)))
    assert not has_statistics(nn.BatchNorm2d(4, track_running_stats=False))
