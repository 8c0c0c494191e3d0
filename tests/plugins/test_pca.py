"""PCA transform coding: NumPy's components, a coder that loses nothing and is short, and ceilings that hold."""

import copy

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import Allowance, Codec, MapStatistics, PlainCodec, SideStatistics, Unsupported
from actbench.codec.bit_strings import Stream
from actbench.codec.entropy_coder import (
    PRECISION,
    START_BITS,
    Categorical,
    Coder,
    coders_of,
    frequencies_of,
    pop,
    pop_integers,
    push,
    push_integers,
    strings_of,
)
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.payload import LENGTH_BITS
from actbench.feature_map import FeatureMap, Operation
from actbench.network.calibration import collect
from actbench.network.deploy import deploy
from actbench.network.splice import splice
from actbench.network.trace import trace
from actbench.workloads.zoo.residual import ResidualNetwork
from actbench_plugins.dct.transform import basis, forward
from actbench_plugins.pca.codec import CodedComponents, RotatedMap
from actbench_plugins.pca.method import TransformCoding, rotation, smallest_step
from actbench_plugins.pca.tables import Tables, groups_of
from tests.codec.gradients import gradient_of
from tests.plugins.strategies import floats
from tests.traced import in_fp64

WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def source(images: int = 8, channels: int = 12, height: int = 16, width: int = 20, seed: int = 3) -> torch.Tensor:
    """Channels that are mixtures of a few, with a mean."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(channels, channels, generator=torch.Generator().manual_seed(0)) * 0.6 ** torch.arange(channels)
    values = torch.randn(images, channels, height, width, generator=generator)
    return torch.einsum("cd,ndhw->nchw", mixing, values) + 0.5


def planned(x: torch.Tensor, bits: int, widths: tuple[int, ...] = WIDTHS, pool: bool = False) -> Codec:
    between: tuple[Operation, ...] = (Operation("relu"),)
    after, (height, width) = x.relu(), x.shape[2:]
    if pool:
        between += (Operation("max_pool2d", (("kernel_size", 2),)),)
        after = torch.nn.functional.max_pool2d(after, 2)
    fmap = FeatureMap("map", x.shape[1], *after.shape[2:], "producer", (), between, (height, width))
    return TransformCoding({}).codec(fmap, MapStatistics.of(x, after), Allowance(bits, widths))


def coded(x: torch.Tensor, bits_per_value: float = 2.5, **options: bool) -> RotatedMap:
    codec = planned(x, int(bits_per_value * x[0].numel()), **options)
    assert isinstance(codec, RotatedMap)
    return codec


def adversarial(x: torch.Tensor) -> torch.Tensor:
    """What calibration has not seen: too large, too rough, constant, and nothing at all."""
    return torch.cat([100 * x[:2], 50 * torch.randn_like(x[:2]), torch.full_like(x[:1], 9.0), torch.zeros_like(x[:1])])


def test_the_rotation_is_numpys() -> None:
    x = source()
    project, expand = rotation(SideStatistics.of(x).mean, SideStatistics.of(x).covariance)
    columns = x.transpose(0, 1).flatten(1).double().numpy()
    eigenvalues = numpy.linalg.eigvalsh(numpy.cov(columns, bias=True))[::-1]
    with torch.no_grad():
        components = project(x).transpose(0, 1).flatten(1).double().numpy()
        numpy.testing.assert_allclose(numpy.cov(components, bias=True), numpy.diag(eigenvalues), atol=1e-4)
        numpy.testing.assert_allclose(components.mean(1), 0, atol=1e-5)
        torch.testing.assert_close(expand(project(x)), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kept", [1, 4, 11])
def test_dropped_components_cost_their_eigenvalues(kept: int) -> None:
    x = source()
    project, expand = rotation(SideStatistics.of(x).mean, SideStatistics.of(x).covariance)
    with torch.no_grad():
        components = project(x)
        components[:, kept:] = 0
        error = float((expand(components) - x).double().square().sum(1).mean())
    dropped = numpy.linalg.eigvalsh(SideStatistics.of(x).covariance.numpy())[:-kept].sum()
    assert error == pytest.approx(dropped, rel=1e-3)


@given(st.integers(1, 7), st.integers(0, 1000))
def test_the_same_number_of_components_beats_the_dct(kept: int, seed: int) -> None:
    """Of groups of 8 channels, whichever coefficients the mask keeps."""
    x = source(images=2, channels=8, height=9, width=7, seed=seed)
    project, expand = rotation(SideStatistics.of(x).mean, SideStatistics.of(x).covariance)
    with torch.no_grad():
        components = project(x)
        components[:, kept:] = 0
        ours = float((expand(components) - x).double().square().sum())
    centered = (x - SideStatistics.of(x).mean.float()[:, None, None]).flatten(2)
    energies = forward(centered, basis(8)).double().square().sum((0, 1, 3))
    assert ours < float(energies.sort().values[: 8 - kept].sum())


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=500))
def test_frequencies_add_up_and_none_is_zero(counts: list[int]) -> None:
    frequencies = frequencies_of(torch.tensor(counts))
    assert int(frequencies.sum()) == 1 << PRECISION
    assert int(frequencies.min()) >= 1


def test_components_of_like_deviation_share_a_table() -> None:
    assert groups_of(torch.tensor([9.0, 8.5, 3.0, 0.1, 0.01, 0.0])).tolist() == [2, 2, 1, 0, 0, 0]


@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 700), floats(1 / 16, 90), st.integers(2, 9))
def test_the_coder_loses_nothing(images: int, channels: int, positions: int, spread: float, width: int) -> None:
    """Tables of one image, strings of others, so that symbols escape."""
    generator = torch.Generator().manual_seed(positions)
    z = spread * torch.randn(images + 1, channels, positions, 1, generator=generator)
    rung = CodedComponents(1.0, width, z[:1] / 2)
    stream = rung.encode(z)
    assert torch.equal(rung.decode(stream, positions).flatten(2).int(), rung.codes(z))
    assert (stream.lengths <= 1.001 * rung.most_bits(z) + 1).all()
    backwards = rung.encode(z.flip(0))
    assert torch.equal(stream.select(torch.arange(images, -1, -1)).bits, backwards.bits)
    single = rung.decode(Stream(stream.strings()[-1], stream.lengths[-1:]), positions)
    assert torch.equal(single, rung.decode(stream, positions)[-1:])


@settings(max_examples=50)
@given(st.data())
def test_strings_are_as_long_as_the_probabilities_say(data: st.DataObject) -> None:
    """Two channels with tables of any frequencies, behind integers of any width, in strings of their own."""
    counts = st.lists(st.integers(0, 10**5), min_size=2, max_size=40)
    frequencies = [frequencies_of(torch.tensor(data.draw(counts))) for _ in range(2)]
    models = [(Categorical(frequency.double().numpy(), perfect=False), 1) for frequency in frequencies]
    width, positions = data.draw(st.integers(1, 16)), data.draw(st.sampled_from([0, 1, 7, 500]))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    drawn = [torch.randint(0, len(frequency), (3, positions), generator=generator) for frequency in frequencies]
    symbols, integers = torch.stack(drawn, 1).int(), torch.arange(-(1 << width - 1), 1 << width - 1)[:9].int()
    amounts = torch.tensor([len(integers), 0, 0])
    coders = [Coder() for _ in range(3)]
    push_integers(coders, integers, amounts, width)
    push(coders, symbols, models)
    strings = strings_of(coders)
    costs = [(PRECISION - f.double().log2())[index] for f, index in zip(frequencies, drawn, strict=True)]
    promised = torch.stack(costs).sum((0, 2)) + width * amounts
    assert (strings.lengths <= 1.001 * promised + START_BITS + 1).all()
    read = coders_of(strings)
    assert torch.equal(pop(read, models, positions), symbols)
    assert torch.equal(pop_integers(read, amounts, width), integers)
    assert not any(coder.get_compressed().any() for coder in read)


@pytest.mark.parametrize(("step", "most"), [(0.05, 1.02), (0.3, 1.01), (1.5, 1.015)])
def test_strings_are_as_short_as_the_entropy_allows(step: float, most: float) -> None:
    """Of images that the tables were not counted on, against the entropy of their own histogram in each group."""
    project, _ = rotation(SideStatistics.of(source()).mean, SideStatistics.of(source()).covariance)
    with torch.no_grad():
        rung, z = CodedComponents(step, 12, project(source())), project(source(seed=4))
    codes, entropy = rung.codes(z), 0.0
    for group in rung.tables.group.unique():
        counts = codes[:, rung.tables.group == group].unique(return_counts=True)[1].double()
        entropy += float((counts * (counts.sum() / counts).log2()).sum())
    lengths = rung.encode(z).lengths
    assert entropy < int(lengths.sum()) < most * entropy
    assert ((rung.costs(z) - lengths).abs() <= START_BITS + 1).all()


def test_some_rows_are_coded_like_a_map() -> None:
    z = source(2)
    rung, rows = CodedComponents(0.3, 12, z), z[:, :, 4:9]
    assert ((rung.costs(rows) - rung.encode(rows).lengths).abs() <= START_BITS + 1).all()
    assert torch.equal(rung.decode(rung.encode(rows), 5).flatten(2), rung.codes(rows) * rung.step)


def test_one_step_gives_components_of_little_variance_few_bits() -> None:
    project, _ = rotation(SideStatistics.of(source()).mean, SideStatistics.of(source()).covariance)
    with torch.no_grad():
        z = project(source())
    tables = CodedComponents(0.5, 8, z).tables
    sizes = tables.size[tables.group.long()].tolist()
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 2 * sizes[-1]


@pytest.mark.parametrize("pool", [False, True])
@torch.no_grad()
def test_stored_bits_are_the_formula_and_decode_from_bytes(pool: bool) -> None:
    x = source()
    codec = coded(x, 0.45 if pool else 2.5, pool=pool)
    payload = codec.encode(torch.cat([x, adversarial(x)]))
    tables = 2 * codec.core.allowed.bit_length()  # of 16 rows two granules
    expected = payload.lengths("stream") + LENGTH_BITS + codec.core.rung_bits + tables
    assert payload.bits_per_image().tolist() == expected.tolist()
    packed = pack(payload)
    assert [len(image) for image in packed] == [-(-bits // 8) for bits in expected.tolist()]
    decoded = codec.decode(payload)
    assert decoded.shape[1:] == x.shape[1:]
    assert torch.equal(copy.deepcopy(codec).decode(unpack(packed, layout(payload))), decoded)


def test_gradients_pass_rotation_and_rungs() -> None:
    """`U·(not clipped)·Uᵀ`, with the images' own rungs."""
    x = torch.cat([source(), 3 * source()[:2]])
    codec = planned(source(), 2 * x[0].numel(), (4,))
    assert isinstance(codec, RotatedMap)
    with torch.no_grad():
        z, rungs = codec.project(x), codec.encode(x)["rung"][:, 0]
    components = codec.core
    assert len(rungs.unique()) > 1
    assert int(rungs.max()) < len(components.rungs) - 1
    weights, basis = torch.randn(x.shape), codec.project.weight[:, :, 0, 0].detach().double()
    steps = torch.stack([components.rungs[number].step for number in rungs.tolist()])
    half = 1 << (components.rungs[0].width - 1)
    codes = z / steps.view(-1, 1, 1, 1)
    inner = (codes > -half) & (codes < half - 1)
    assert not inner.all()
    upstream = torch.einsum("ck,nchw->nkhw", basis.T, weights.double())
    expected = torch.einsum("kc,nkhw->nchw", basis, upstream * inner)
    leaf = x.clone().requires_grad_()
    (codec(leaf) * weights).sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad.double(), expected, rtol=1e-3, atol=1e-4)
    assert codec.project.weight.grad is not None
    gradient_of(components, z, torch.ones(1))


@settings(max_examples=15)
@given(st.integers(1, 9000), st.sampled_from([WIDTHS, (8,), (4,), (1,)]))
def test_no_allowance_is_exceeded(bits: int, widths: tuple[int, ...]) -> None:
    x = source(4, 4, 6, 8)
    try:
        codec = planned(x, bits, widths)
    except Unsupported:
        assert bits < 4 * widths[-1] + LENGTH_BITS + 5
        return
    encoded = adversarial(x).relu() if isinstance(codec, PlainCodec) else adversarial(x)
    with torch.no_grad():
        payload = codec.encode(encoded)
        assert int(payload.bits_per_image().max()) <= bits
        assert codec.decode(payload).isfinite().all()


@torch.no_grad()
def test_calibration_images_take_the_planned_step_and_others_a_coarser_one() -> None:
    x = source()
    codec = coded(x)
    allowed = int(2.5 * x[0].numel())
    payload = codec.encode(torch.cat([x, adversarial(x)]))
    fallen = codec.fallbacks(payload)
    assert not fallen[: len(x)].any()
    assert fallen[len(x) : len(x) + 2].all()
    assert int(payload.bits_per_image().max()) <= allowed
    assert int(payload.bits_per_image()[: len(x)].max()) > 0.93 * allowed


def test_more_bits_mean_less_error() -> None:
    x = source()
    with torch.no_grad():
        errors = [float((coded(x, bits)(x) - x).square().mean()) for bits in (1.0, 1.5, 2.0, 2.5, 3.0)]
    assert errors == sorted(errors, reverse=True)


def test_correlated_channels_beat_plain_codes() -> None:
    x = source()
    bits = 3 * x[0].numel()
    codec = planned(x, bits)
    plain = PlainCodec.calibrated(
        FeatureMap("map", 12, 16, 20, "", (), (Operation("relu"),)),
        MapStatistics.of(x, x.relu()),
        3,
    )
    with torch.no_grad():
        assert (codec(x).relu() - x.relu()).square().sum() < 0.5 * (plain(x.relu()) - x.relu()).square().sum()


@torch.no_grad()
def test_a_map_that_would_fit_plainly_is_coded_too() -> None:
    x = source()
    codec = planned(x, 16 * x[0].numel())
    assert not isinstance(codec, PlainCodec)
    assert int(codec.encode(x).bits_per_image().max()) < 8 * x[0].numel()


def test_the_folded_form_stores_the_same() -> None:
    x = source()
    codec = coded(x)
    folded = codec.fold()
    assert folded.expand is None
    assert folded.project is not None
    payload, expected = folded.core.encode(folded.project(x)), codec.encode(x)
    assert pack(payload) == pack(expected)
    assert torch.equal(folded.core.decode(payload), codec.decode(expected))
    assert folded.core.side == codec.side == "before"


@pytest.mark.parametrize("ceiling", ["10x", "traffic:12x"])
def test_folded_network_equals_the_unfolded_one(ceiling: str) -> None:
    torch.manual_seed(0)
    network, images = in_fp64(trace(ResidualNetwork(), (3, 16, 16))), torch.randn(4, 3, 16, 16, dtype=torch.float64)
    budget = Budget(Ceiling.parse(ceiling), Bits.parse("w32a2-8"))
    plan = TransformCoding({}).plan(network, collect(network, images), budget)
    assert any(isinstance(codec, RotatedMap) for codec in plan.codecs.values())
    spliced = splice(network, {name: codec.double() for name, codec in plan.codecs.items()})
    deployed = deploy(spliced, 32, images[:1])
    with torch.no_grad():
        torch.testing.assert_close(deployed.module(images), spliced.module(images), rtol=1e-6, atol=1e-6)
    assert not any(isinstance(codec, RotatedMap) for codec in deployed.codecs().values())


def test_tables_and_rotation_are_counted() -> None:
    codec = coded(source())
    tables = [rung.tables for rung in codec.core.rungs if isinstance(rung, CodedComponents)]
    assert all(isinstance(table, Tables) for table in tables)
    assert codec.static_bits() > sum(16 * len(table.frequency) for table in tables) + 32 * 12 * 13


def test_unquantised_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="integers"):
        planned(source(), 10**6, (32,))


def test_the_smallest_step_is_found() -> None:
    assert smallest_step(lambda step: step >= 3.0, 1.0, 16.0) == pytest.approx(3.0, rel=0.02)
    assert smallest_step(lambda step: True, 1.0, 16.0) == 1.0
    assert smallest_step(lambda step: False, 1.0, 16.0) == 16.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_and_is_close(dtype: torch.dtype) -> None:
    x = source()
    codec = coded(x)
    with torch.no_grad():
        expected, decoded = codec(x), codec.to(dtype)(x.to(dtype))
    assert decoded.dtype == dtype
    assert (decoded.float() - expected).square().mean() < 0.02 * x.square().mean()


def test_memory_layout_does_not_matter() -> None:
    x = source()
    codec = coded(x)
    assert pack(codec.encode(x.contiguous(memory_format=torch.channels_last))) == pack(codec.encode(x))
