"""The services together, and the choice between them."""

import math

import pytest
import torch
from torch import Tensor

from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import Codec, FeatureMap, MapStatistics, Plan, plan_each_map
from actbench.fitting.plain_maps import PlainMaps
from actbench.fitting.services import Fitting
from actbench.measure.footprint import Meter
from actbench.network.calibration import Statistics
from actbench.network.splice import Spliced
from actbench.network.trace import TracedNetwork

from .conftest import images, projection

BUDGET = Budget(Ceiling.parse("8x"), Bits.parse("w8a6"))


@pytest.fixture
def fitting(network: TracedNetwork, statistics: Statistics) -> Fitting:
    rule = PlainMaps(network.maps, network.readers, BUDGET)
    return Fitting(network, rule, statistics, images(24))


@pytest.fixture
def plan(network: TracedNetwork, statistics: Statistics) -> Plan:
    return plan_each_map(network, statistics, BUDGET, lambda fmap, observed, allowed: _projected(fmap, observed))


def _projected(fmap: FeatureMap, observed: MapStatistics) -> Codec:
    return projection(fmap, {fmap.name: observed}, 5)  # type: ignore[arg-type]


def error(fitting: Fitting, spliced: Spliced, x: Tensor) -> float:
    with torch.no_grad():
        return float((spliced.module(x) - fitting.network.module(x)).square().mean())


def test_every_combination_is_tried_the_bare_one_first(fitting: Fitting, plan: Plan) -> None:
    tried = [set(services) for services, _ in fitting.trials(plan)]
    bare = [services | more for services in (set(), {"clips"}) for more in (set(), {"statistics"})]
    assert tried == [*bare, {"sequence", "refit"}, {"sequence", "refit", "clips"}]


def test_what_has_the_least_loss_is_kept(fitting: Fitting, plan: Plan) -> None:
    wanted = {"clips", "statistics"}
    losses = iter(range(100, 0, -1))
    named = {}

    def loss(spliced: Spliced) -> float:
        named[len(named)] = spliced
        return 0.5 if len(named) == 4 else next(losses)

    fitted = fitting.choose(plan, loss)
    assert fitted.kept == wanted
    assert fitted.spliced is named[3]
    assert fitted.losses[frozenset(wanted)] == min(fitted.losses.values())


def test_a_loss_that_is_no_number_chooses_nothing(fitting: Fitting, plan: Plan) -> None:
    nothing = fitting.choose(plan, lambda spliced: math.nan)
    assert nothing.kept == frozenset()
    assert nothing.losses == {}
    losses = iter([math.nan, math.inf, 2.0, 3.0, 1.0, math.nan])
    fitted = fitting.choose(plan, lambda spliced: next(losses))
    assert fitted.kept == {"sequence", "refit"}
    assert sorted(fitted.losses.values()) == [1, 2, 3]


def test_fits_that_help_help_on_other_images_too(fitting: Fitting, plan: Plan) -> None:
    other = images(24, 9)
    errors = {frozenset(services): error(fitting, spliced, other) for services, spliced in fitting.trials(plan)}
    assert errors[frozenset({"sequence", "refit", "clips"})] < 0.9 * errors[frozenset()]
    assert errors[frozenset({"clips"})] < errors[frozenset()]


def test_a_refit_changes_decoders_alone_and_not_the_plans(fitting: Fitting, plan: Plan) -> None:
    bare = {name: codec.state_dict() for name, codec in plan.codecs.items()}
    trials = {frozenset(services): spliced for services, spliced in fitting.trials(plan)}
    codecs = trials[frozenset({"sequence", "refit"})].codecs()
    for name, codec in codecs.items():
        if type(codec) is type(plan.codecs[name]):
            assert torch.equal(codec.state_dict()["project.weight"], bare[name]["project.weight"])
            assert not torch.equal(codec.state_dict()["expand.weight"], bare[name]["expand.weight"])
    unchanged = {name: codec.state_dict() for name, codec in plan.codecs.items()}
    assert all(torch.equal(value, unchanged[name][key]) for name in bare for key, value in bare[name].items())


def test_no_form_stores_more_than_the_ceiling(fitting: Fitting, plan: Plan) -> None:
    limit = BUDGET.ceiling.limit(fitting.network.maps)
    for _, spliced in fitting.trials(plan):
        with Meter(spliced) as meter, torch.no_grad():
            spliced.module(images(2, 4))
        assert all(int(meter.bits(fmap).max()) <= limit for fmap in fitting.network.maps)


def test_maps_that_the_plan_leaves_out_are_left_alone(fitting: Fitting, plan: Plan) -> None:
    name = fitting.network.maps[0].name
    partial = Plan({other: codec for other, codec in plan.codecs.items() if other != name})
    for _, spliced in fitting.trials(partial):
        assert name not in spliced.codecs()
