"""Learned codebooks: searches by brute force, k-means as scipy has it, bits by hand, rows and ceilings."""

import itertools

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.vq import kmeans2
from torch import Tensor

from actbench.codec import Allowance, MapStatistics, PlainCodec, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.rows import write_rows
from actbench.feature_map import FeatureMap, Operation
from actbench_plugins.codebook import clustering
from actbench_plugins.codebook.clustering import centroids, codebooks, looked_up, nearest, spread_start
from actbench_plugins.codebook.codec import CodebookCodec, grouped, learned
from actbench_plugins.codebook.method import LearnedCodebooks, choices, drawn_positions
from actbench_plugins.codebook.rotation import RotatedCodec, balanced_components

WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def feature_map(channels: int = 6, height: int = 9, width: int = 10, between: str = "relu") -> FeatureMap:
    return FeatureMap("map", channels, height, width, "producer", (), (Operation(between),))


def maps(channels: int = 6, height: int = 9, width: int = 10, images: int = 3) -> Tensor:
    return torch.randn(images, channels, height, width, generator=torch.Generator().manual_seed(4)).relu()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def planned(x: Tensor, a_value: float, widths: tuple[int, ...] = WIDTHS) -> CodebookCodec:
    allowance = Allowance(int(a_value * x[0].numel()), widths)
    codec = LearnedCodebooks({}).codec(feature_map(*x.shape[1:]), MapStatistics.of(x), allowance)
    assert isinstance(codec, CodebookCodec)
    return codec


def error(vectors: Tensor, books: Tensor) -> float:
    return float((vectors - looked_up(books, nearest(vectors, books))).square().sum())


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 5), st.integers(1, 20), st.integers(1, 200))
def test_nearest_is_what_a_search_over_all_distances_finds(
    groups: int, count: int, block: int, size: int, scores: int
) -> None:
    vectors, books = drawn(groups, count, block).double(), drawn(groups, size, block, seed=1).double()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clustering, "_SCORES", scores)
        index = nearest(vectors, books)
    distances = (vectors.numpy()[:, :, None] - books.numpy()[:, None]) ** 2
    assert numpy.array_equal(index.numpy(), distances.sum(3).argmin(2))


def test_an_encoded_map_has_the_nearest_of_the_stored_codewords() -> None:
    x, codec = maps(), learned(maps(), 4, 3)
    books = codec.codes.double() * codec.step.double() + codec.low.double()
    vectors = torch.cat([x, torch.zeros(3, 2, 9, 10)], 1).double()
    index = codec.encode(x)["index"]
    for group in range(2):
        of_group = vectors[:, 4 * group : 4 * group + 4].movedim(1, 3)[..., None, :]
        distances = (of_group - books[group]).square().sum(4)
        assert torch.equal(index[:, group].long(), distances.argmin(3))


def test_steps_are_those_of_scipy_from_the_same_start() -> None:
    vectors = drawn(2, 300, 3).double()
    books = start = spread_start(vectors, 12)
    for _ in range(5):
        books = centroids(vectors, nearest(vectors, books), books)
    for group in range(2):
        expected, _ = kmeans2(vectors[group].numpy(), start[group].numpy(), iter=5, minit="matrix")
        assert torch.allclose(books[group], torch.from_numpy(expected), rtol=1e-12, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 60), st.integers(1, 16))
def test_no_step_adds_to_the_error(seed: int, count: int, size: int) -> None:
    vectors = drawn(2, count, 2, seed=seed).double()
    books = spread_start(vectors, size)
    errors = [error(vectors, books)]
    for _ in range(8):
        books = centroids(vectors, nearest(vectors, books), books)
        errors.append(error(vectors, books))
    assert all(after <= before * (1 + 1e-12) for before, after in itertools.pairwise(errors))
    assert error(vectors, codebooks(vectors, size)) <= errors[0] * (1 + 1e-12)


def test_a_codeword_without_vectors_stays() -> None:
    vectors = torch.tensor([[[0.0], [1.0]]])
    books = torch.tensor([[[0.5], [9.0]]])
    assert centroids(vectors, nearest(vectors, books), books).flatten().tolist() == [0.5, 9.0]


def test_starts_are_vectors_and_differ_as_long_as_there_are_others() -> None:
    vectors = torch.tensor([0.0, 3.0, 3.0, 5.0, 8.0]).view(1, 5, 1).repeat(1, 50, 1)
    assert spread_start(vectors, 4).flatten().sort().values.tolist() == [0, 3, 5, 8]
    assert spread_start(vectors, 6).shape == (1, 6, 1)


def test_far_vectors_are_drawn_by_the_squares_of_their_distances() -> None:
    """Of vectors at 0, 1 and 3, the one at 3 is second with chances of 9/10 and 4/5, where it is not the first."""
    vectors = torch.tensor([0.0, 1.0, 3.0]).view(1, 3, 1).repeat(20_000, 1, 1)
    first, second = spread_start(vectors, 2)[:, :, 0].T
    for start, chance in ((0.0, 9 / 10), (1.0, 4 / 5)):
        assert float((second[first == start] == 3).double().mean()) == pytest.approx(chance, abs=0.02)


def test_groups_are_neighbouring_channels_and_zeros() -> None:
    x = maps(5, 2, 3, 2)
    vectors = grouped(x, 3)
    assert vectors.shape == (2, 12, 3)
    assert vectors[0, 6 + 4].tolist() == x[1, :3, 1, 1].tolist()
    assert vectors[1, 6 + 4].tolist() == [*x[1, 3:, 1, 1].tolist(), 0]


def test_stored_bits_by_hand_and_decoded_from_bytes() -> None:
    """Of 6 channels in groups of 4: 2 indices of 3 bits at each of 90 positions. Tables: 2·8 codewords of 4 values in
    8 bits, and two numbers for each of 8 channels."""
    x, codec = maps(), learned(maps(), 4, 3)
    payload = codec.encode(x)
    assert payload.bits_per_image().tolist() == [2 * 3 * 90] * 3
    assert codec.static_bits() == 2 * 8 * 4 * 8 + 2 * 8 * 32
    packed = pack(payload)
    assert {len(image) for image in packed} == {-(-2 * 3 * 90 // 8)}
    assert torch.equal(codec.decode(unpack(packed, layout(payload))), codec(x))


def test_codewords_are_rounded_by_half_a_step_at_most() -> None:
    books = drawn(2, 16, 3)
    codec = CodebookCodec(6, books)
    decoded = codec.codes * codec.step + codec.low
    steps = (books.amax(1) - books.amin(1)) / 255
    assert bool(((decoded - books).abs() <= 0.5001 * steps[:, None]).all())


def test_values_that_codewords_have_come_back() -> None:
    books = torch.tensor([[[0.0, 255.0], [255.0, 0.0]], [[1.0, 2.0], [256.0, 257.0]]])
    x = torch.tensor([0.0, 255.0, 256.0, 257.0]).view(1, 4, 1, 1)
    codec = CodebookCodec(4, books)
    assert codec.encode(x)["index"].flatten().tolist() == [0, 1]
    assert torch.equal(codec(x), x)


def test_rows_are_those_of_the_whole_map() -> None:
    x, codec = maps(), planned(maps(), 2)
    head, stripes, bits = write_rows(codec, x, [4, 5])
    assert torch.equal(torch.cat([codec.decode_rows(stripe, head) for stripe in stripes], 2), codec(x))
    assert torch.equal(bits, codec.encode(x).bits_per_image())


def test_the_shortest_vectors_that_fit_and_no_width_that_a_wider_one_beats() -> None:
    """12 bits a position for 10 channels: two indices of 6 bits; two of 5 and three of 4 give no more, nor four of
    3."""
    assert choices(feature_map(10, 1, 1), Allowance(12, WIDTHS)) == {6: 5}
    assert choices(feature_map(10, 1, 1), Allowance(7, (8, 5, 3))) == {5: 10, 3: 5}
    assert choices(feature_map(10, 4, 4), Allowance(16 * 80, WIDTHS)) == {6: 1}


@settings(max_examples=15, deadline=None)
@given(st.floats(0.1, 7.9), st.sampled_from([WIDTHS, (8,), (4,)]))
def test_no_allowance_is_exceeded(a_value: float, widths: tuple[int, ...]) -> None:
    x = maps(16, 4, 4)
    if int(a_value * 256) < 16 * widths[-1]:
        with pytest.raises(Unsupported, match=f"one index a position needs {16 * widths[-1]} bits"):
            planned(x, a_value, widths)
        return
    assert int(planned(x, a_value, widths).encode(10 * x).bits_per_image().max()) <= int(a_value * 256)


def test_correlated_channels_cost_less_than_plain_codes_do() -> None:
    """Four channels that are one: at 2 bits a value a codebook has 256 values of it, plain codes have four."""
    x = maps(1, 16, 16, 8).expand(-1, 4, -1, -1).contiguous()
    plain = PlainCodec.calibrated(feature_map(4, 16, 16), MapStatistics.of(x), 2)
    codec = planned(x, 2, (8,))
    assert codec.describe() == {"index": 8, "channels": 4}
    own, others = (float((each(x) - x).detach().square().sum()) for each in (codec, plain))
    assert own < others / 100


def test_a_map_that_fits_into_8_bits_a_value_is_plain() -> None:
    codec = LearnedCodebooks({}).codec(feature_map(), MapStatistics.of(maps()), Allowance(8 * 540, WIDTHS))
    assert isinstance(codec, PlainCodec)
    assert codec.width == 8


def test_indices_are_narrow_where_the_cell_has_narrow_codes() -> None:
    assert max(choices(feature_map(), Allowance(4 * 540, WIDTHS))) == 6
    assert set(choices(feature_map(), Allowance(4 * 540, (8,)))) == {8}


def test_wide_codes_alone_are_unsupported() -> None:
    with pytest.raises(Unsupported, match="an index has 8 bits at most"):
        planned(maps(), 8, (32,))


def test_gradients_pass_straight_and_values_are_those_of_the_indices() -> None:
    x, codec = maps().requires_grad_(), planned(maps(), 2)
    decoded = codec(x)
    assert torch.equal(decoded.detach(), codec(x.detach()))
    weights = maps().exp()
    (decoded * weights).sum().backward()
    assert torch.equal(x.grad, weights)  # type: ignore[arg-type]


def test_components_are_shared_out_by_the_products_of_their_variances() -> None:
    """8 goes to the first group and 4 to the second; the third has room for one, 2. Then 1 goes to the second, whose
    product is the smaller one, and what is left to the first."""
    covariance = torch.diag(torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5]))
    rotation = balanced_components(covariance, 2)
    assert rotation.abs().argmax(1).tolist() == [0, 4, 1, 3, 2]
    assert torch.equal(rotation.abs().sum(1), torch.ones(5))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12))
def test_a_rotation_is_orthogonal_and_diagonalises(channels: int, block: int) -> None:
    covariance = torch.cov(drawn(channels, 50).double()).view(channels, channels)
    rotation = balanced_components(covariance, block).double()
    rotated = rotation @ covariance @ rotation.T
    assert torch.allclose(rotation @ rotation.T, torch.eye(channels).double(), atol=1e-5)
    assert torch.allclose(rotated, torch.diag(rotated.diagonal()), atol=1e-4)


def test_channels_of_either_sign_are_rotated_where_that_helps() -> None:
    """Eight channels that are mixtures of two: groups of four components have one of these each."""
    mixed = torch.einsum("kc,nchw->nkhw", drawn(8, 2, seed=3), drawn(8, 2, 16, 16))
    allowance = Allowance(int(2 * mixed[0].numel()), (8,))
    codec = LearnedCodebooks({}).codec(feature_map(8, 16, 16, "silu"), MapStatistics.of(mixed), allowance)
    assert isinstance(codec, RotatedCodec)
    unrotated = learned(drawn_positions(mixed), 4, 8)
    own, others = (float((each(mixed) - mixed).detach().square().sum()) for each in (codec, unrotated))
    assert own < others / 2
    assert isinstance(planned(mixed, 2), CodebookCodec)  # as behind a ReLU
