"""What an error of a map costs behind its readers, against the readers themselves."""

import torch
from torch import nn

from actbench.feature_map import FeatureMap, Reader
from actbench_plugins.prochan.importance import importance


def test_importance_is_what_an_error_costs_behind_the_layer() -> None:
    """For a 1×1 convolution exactly; a depthwise one weighs each channel; an addition counts as the mean."""
    fmap, error = FeatureMap("map", 6, 8, 8, "producer", ()), torch.randn(6, dtype=torch.float64)
    dense, depthwise = nn.Conv2d(6, 4, 1, bias=False).double(), nn.Conv2d(6, 12, 3, groups=6).double()
    cost = dense(error.reshape(1, 6, 1, 1)).square().sum()
    torch.testing.assert_close(error @ importance(fmap, [dense]) @ error, cost)
    by_channel = depthwise.weight.detach().square().reshape(6, -1).sum(1)
    torch.testing.assert_close(importance(fmap, [depthwise]), torch.diag(by_channel))
    shared = FeatureMap("map", 6, 8, 8, "producer", (Reader("dense", "conv"), Reader("add", "add")))
    expected = importance(fmap, [dense]) + importance(fmap, [dense]).diagonal().mean() * torch.eye(6)
    torch.testing.assert_close(importance(shared, [dense]), expected)
