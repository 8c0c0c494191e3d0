"""Compression of a model's feature maps, in place."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import nn

from actbench.api.calibration import Calibration, Images, default_loss
from actbench.api.compressed import Compressed, Compression, install
from actbench.api.in_place import restore
from actbench.api.methods import Chosen, choose_method, read_budget
from actbench.api.modes import in_mode
from actbench.budget import Bits, Budget, Ceiling
from actbench.codec.method import Method
from actbench.errors import UserError
from actbench.feature_map import Maps
from actbench.fitting.deployed_loss import deployed_loss
from actbench.fitting.plain_maps import PlainMaps
from actbench.fitting.services import Fitted, Fitting
from actbench.harness.network_view import PlanningNetwork
from actbench.info import OptionValue
from actbench.network.batches import Batches
from actbench.network.calibration import Statistics
from actbench.network.trace import TracedNetwork, trace
from actbench.recovery.objectives import Loss


def compress(
    model: nn.Module,
    *,
    method: str | Method,
    ceiling: str | Ceiling,
    calibration: Images,
    bits: str | Bits = "w8a2-8",
    options: Mapping[str, OptionValue] | None = None,
    loss: Loss | None = None,
    maps: Maps = "live",
    fit: Literal["on", "off"] = "on",
    plain: Literal["rule", "never"] = "rule",
    inplace: bool = True,
) -> Compressed:
    """Has a model store its feature maps compressed: whatever it computes from then on, it computes from what was
    stored. Returns the model itself, of which `restore` makes what it was; with `inplace=False` a copy.

    `method` is the name of an installed one, or one of your own. `calibration` is at most 512 images (n, C, H, W) as
    the model takes them, a pair of images and targets, or batches of either. `loss` of outputs and targets chooses
    between fits; without targets these are the model's own outputs, and the loss how far others are from them. The
    other settings are those of `actbench run`. Parameters, their names and the mode of training stay as they are, so
    that an optimiser stays attached; codecs that learn add parameters of their own (`finetune_parameters`).

    Raises UserError for what cannot be done with the model or the images, Unsupported where the method cannot hold the
    ceiling.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
        >>> model = compress(model, method="none", ceiling="1x", bits="w32a32", calibration=torch.rand(16, 3, 12, 12))
        >>> model(torch.rand(2, 3, 12, 12)).shape
        torch.Size([2, 4, 8, 8])
        >>> [(fmap.name, fmap.channels) for fmap in model.maps]
        [('2', 8)]
    """
    budget = read_budget(ceiling, bits)
    chosen = choose_method(method, options or {}, "inference")
    model = restore(model) if inplace else copy.deepcopy(model)
    images, network = _observed(model, calibration, maps)
    fitted = _fitted(network, images, chosen, budget, loss or default_loss(images.targets), fit=fit, plain=plain)
    return install(model, Compression(network, fitted.spliced, budget, chosen.name, fitted.kept))


def _observed(model: nn.Module, calibration: Images, maps: Maps) -> tuple[Calibration, TracedNetwork]:
    """The images, and the network as a graph for images of their size. The model's mode of training stays."""
    with in_mode(model, training=False):
        images = Calibration.of(calibration, model)
        channels, height, width = images.pixels.shape[1:]
        network = trace(model, (channels, height, width), maps)
    if not network.maps:
        raise UserError(f"{type(model).__name__} has no feature map: no layer reads the output of another")
    return images, network


def _fitted(
    network: TracedNetwork,
    images: Calibration,
    chosen: Chosen,
    budget: Budget,
    loss: Loss,
    *,
    fit: Literal["on", "off"],
    plain: Literal["rule", "never"],
) -> Fitted:
    """Plans on three quarters of the images and chooses between fits on the others, as a cell of a run does."""
    fitting, choice = images.parted()
    device = next((parameter.device for parameter in network.module.parameters()), torch.device("cpu"))
    stats, batches = Statistics(network, fitting), Batches.of(network)
    # A method may do to its copy what it likes.
    copied = replace(network, module=copy.deepcopy(network.module))
    view = PlanningNetwork(copied, loss, fitting, device)
    plan = chosen.method.plan(view, stats, budget)
    rule = PlainMaps(network.maps, network.readers, budget, plain == "never", chosen.data_dependent)
    services = Fitting(network, rule, stats, fitting[: batches.fitted].to(device))
    chosen_by = deployed_loss(budget.bits.weights, choice, batches.evaluation, loss, device) if len(choice) else None
    return services.fitted(plan, None if fit == "off" else chosen_by)
