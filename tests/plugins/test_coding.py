"""The lossless codes against hand-computed strings, plain reference implementations, and themselves backwards."""

import copy
import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actbench.codec import Allowance, MapStatistics, UniformQuantizer, Unsupported
from actbench.codec.bit_strings import Stream, join
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.rate_control import Ladder
from actbench.feature_map import FeatureMap, Operation
from actbench.measure.memory import peak_live_bytes
from actbench_plugins.coding import method
from actbench_plugins.coding.bit_plane import BitPlane
from actbench_plugins.coding.coder import Coder
from actbench_plugins.coding.exponential_golomb import SparseExponentialGolomb
from actbench_plugins.coding.flags import decode_flags, encode_flags
from actbench_plugins.coding.prefix import Transitions, prefix_code, symbol_starts
from actbench_plugins.coding.run_length import RunLength
from actbench_plugins.coding.sparse_column import SparseColumn
from actbench_plugins.coding.zero_value import ZeroValue
from tests.codec.gradients import gradient_of
from tests.codec.stripes import assert_rows_give_the_whole, ladders, stripe_heights

WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def binary(value: int, width: int) -> str:
    return f"{value:0{width}b}" if width else ""


def zero_value(values: list[int], width: int) -> str:
    return "".join("01"[value != 0] for value in values) + "".join(binary(value, width) for value in values if value)


def run_length(values: list[int], width: int) -> str:
    text, zeros = "", 0
    for position, value in enumerate(values):
        zeros += value == 0
        if zeros and (value or zeros == 16):
            text, zeros = text + "0" + binary(zeros - 1, 4), 0
        if value:
            text += "1" + (binary(value, width) if width else "")
        if zeros and position == len(values) - 1:
            text += "0" + binary(zeros - 1, 4)
    return text


def sparse_column(values: list[int], width: int) -> str:
    text, zeros = "", 0
    for value in values:
        if not value:
            zeros += 1
            continue
        while zeros > 15:
            text, zeros = text + "1111" + "0" * width, zeros - 16
        text, zeros = text + binary(zeros, 4) + binary(value, width), 0
    return text


def golomb(values: list[int], width: int, order: int = 1) -> str:
    text = ""
    for value in values:
        if not value:
            text += "0"
            continue
        quotient = ((value - 1) >> order) + 1
        low = binary((value - 1) % (1 << order), order)
        text += "1" + "0" * int(math.log2(quotient)) + f"{quotient:b}" + low
    return text


def block_symbols(block: list[int], width: int, authors: bool = False) -> str:
    block = block + block[-1:] * (8 - len(block))
    highest = width - 1 if authors and width in (8, 16) else width
    differences = [(b - a) % (1 << (highest + 1)) for a, b in itertools.pairwise(block)]
    planes = [int("".join(str(d >> plane & 1) for d in differences), 2) for plane in range(highest + 1)]
    text, run = "", 0

    def finish(run: int) -> str:
        if run == 1:
            return "001"
        return "01" + binary(run - 2, math.ceil(math.log2(width))) if run else ""

    for plane in range(highest, -1, -1):
        other = plane - 1 if authors else plane + 1
        dbp = planes[plane]
        dbx = dbp ^ planes[other] if 0 <= other <= highest else dbp
        ones = [position for position in range(7) if dbx >> position & 1]
        if not ones:
            run += 1
            continue
        text, run = text + finish(run), 0
        if len(ones) == 7:
            text += "00000"
        elif dbp == 0:
            text += "00001"
        elif len(ones) == 2 and ones[1] == ones[0] + 1:
            text += "00010" + binary(ones[1], 3)
        elif len(ones) == 1:
            text += "00011" + binary(ones[0], 3)
        else:
            text += "1" + binary(dbx, 7)
    return text + finish(run)


def bit_plane(values: list[int], width: int, authors: bool = False) -> str:
    nonzero = [value for value in values if value]
    blocks = [nonzero[i : i + 8] for i in range(0, len(nonzero), 8)]
    first = "".join(binary(block[0], width) for block in blocks)
    return run_length(values, 0) + first + "".join(block_symbols(block, width, authors) for block in blocks)


def authors_bit_plane(values: list[int], width: int) -> str:
    return bit_plane(values, width, authors=True)


CODES: dict[str, tuple[Coder, Callable[[list[int], int], str]]] = {
    "zvc": (ZeroValue(), zero_value),
    "rle": (RunLength(), run_length),
    "csc": (SparseColumn(), sparse_column),
    "ebpc": (BitPlane(), bit_plane),
    "ebpc-authors": (BitPlane(lowest_is_base=True), authors_bit_plane),
    "seg": (SparseExponentialGolomb(1), golomb),
}
each_code = pytest.mark.parametrize("name", CODES)


def text_of(coder: Coder, values: list[int], width: int) -> str:
    stream = coder.encode(torch.tensor([values]), width)
    assert stream.lengths.tolist() == [len(stream.bits)]
    return "".join(map(str, stream.bits.tolist()))


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[list[int]], int]:
    """Images of 0 to 70 values: sparse, dense, all zero, all at the largest code, or slowly rising."""
    width, count = draw(st.integers(1, 8)), draw(st.one_of(st.integers(0, 1), st.integers(2, 70)))
    top = (1 << width) - 1
    rows = [
        draw(st.lists(st.integers(0, top), min_size=count, max_size=count)),
        [0] * count,
        [top] * count,
        [value * draw(st.booleans()) for value in range(1, count + 1)],
    ]
    return [[value & top for value in row] for row in draw(st.permutations(rows))], width


@each_code
@settings(max_examples=60, deadline=None)
@given(batches())
def test_equals_the_plain_reference_and_decodes(name: str, batch: tuple[list[list[int]], int]) -> None:
    coder, reference = CODES[name]
    rows, width = batch
    codes = torch.tensor(rows, dtype=torch.uint8).reshape(len(rows), -1)
    stream = coder.encode(codes, width)
    strings = ["".join(map(str, string.tolist())) for string in stream.strings()]
    assert strings == [reference(row, width) for row in rows]
    assert coder.lengths(codes, width).tolist() == stream.lengths.tolist()
    if codes.numel():
        assert coder.counted_lengths(codes, width).tolist() == stream.lengths.tolist()
    decoded = coder.decode(stream, codes.shape[1], width)
    assert decoded.dtype == torch.uint8
    assert torch.equal(decoded, codes)


@each_code
@pytest.mark.parametrize("width", [9, 16])
def test_wide_codes_and_long_zeros(name: str, width: int) -> None:
    coder, reference = CODES[name]
    rows = torch.randint(0, 1 << width, (2, 200), generator=torch.Generator().manual_seed(width))
    rows[0, 20:90] = 0
    rows[1, 5] = (1 << width) - 1
    stream = coder.encode(rows.int(), width)
    assert stream.lengths.tolist() == [len(reference(row, width)) for row in rows.tolist()]
    assert torch.equal(coder.decode(stream, 200, width).long(), rows)


@each_code
def test_many_short_runs(name: str) -> None:
    """Their strings are longer than there are codes."""
    coder = CODES[name][0]
    codes = torch.tensor([[0, 3] * 40, [1] * 80, [0] * 80], dtype=torch.uint8)
    assert torch.equal(coder.decode(coder.encode(codes, 2), 80, 2), codes)


@each_code
def test_no_images(name: str) -> None:
    coder = CODES[name][0]
    decoded = coder.decode(coder.encode(torch.zeros(0, 9, dtype=torch.uint8), 4), 9, 4)
    assert decoded.shape == (0, 9)


@each_code
def test_a_granule_needs_little_beside_its_bits(name: str) -> None:
    codes = torch.randn(1, 8192, generator=torch.Generator().manual_seed(0)).relu_().mul_(16).to(torch.uint8)
    coder = CODES[name][0]
    stream = coder.encode(codes, 8)
    # A code takes up to 7 bytes as bits; of the rest, three tensors of positions are most.
    for run in (lambda: coder.encode(codes, 8), lambda: coder.decode(stream, 8192, 8)):
        assert peak_live_bytes(run) < 30 * codes.numel()


def test_strings_by_hand() -> None:
    assert text_of(ZeroValue(), [0, 3, 0, 1], 2) == "0101" + "11" + "01"
    assert text_of(RunLength(), [0, 0, 3] + [0] * 17, 2) == "00001" + "111" + "01111" + "00000"
    assert text_of(SparseColumn(), [0] * 18 + [3, 1, 0], 2) == "1111" + "00" + "0010" + "11" + "0000" + "01"
    # x − 1 = 0, 1, 5 of order 0: q = 1, 2, 6 in 1, 3 and 5 bits.
    assert text_of(SparseExponentialGolomb(0), [0, 1, 2, 6], 3) == "0" + "11" + "1010" + "100110"
    # x − 1 = 5 = 0b10|1 of order 1: q = 3 in 3 bits, then the low bit.
    assert text_of(SparseExponentialGolomb(1), [6], 3) == "1" + "011" + "1"


@pytest.mark.parametrize(
    ("block", "symbols"),
    [
        ([5] * 8, "01" + "11"),  # a run of 5 all-zero planes
        ([5], "01" + "11"),  # the same, filled up
        ([1, 2, 3, 4, 5, 6, 7, 8], "01" + "10" + "00000"),  # differences 1: the last plane is all ones
        ([8, 7, 6, 5, 4, 3, 2, 1], "00000" + "01" + "10"),  # differences −1: five equal planes of ones
        ([4, 5, 5, 5, 5, 5, 5, 5], "01" + "10" + "00011" + "110"),  # a single one, in front
        ([4, 4, 4, 4, 4, 4, 5, 6], "01" + "10" + "00010" + "001"),  # two adjacent ones, at the end
        ([4, 5, 5, 6, 6, 6, 6, 6], "01" + "10" + "1" + "1010000"),  # anything else
        ([1, 3, 3, 3, 3, 3, 3, 3], "01" + "01" + "00011" + "110" + "00001"),  # DBP falls back to zero
        ([8, 6, 6, 6, 6, 6, 6, 6], "00011" + "110" + "01" + "01" + "00001"),  # −2 = 0b11110
        # Differences −1 = 0b11111 and 2 = 0b00010: planes 10…, 10…, 10…, 11…, 10….
        ([8, 7, 9, 9, 9, 9, 9, 9], "00011" + "110" + "01" + "00" + "00011" + "101" + "00011" + "101"),
    ],
)
def test_bit_plane_symbols_by_hand(block: list[int], symbols: str) -> None:
    ones = "1" * len(block)
    assert text_of(BitPlane(), block, 4) == ones + binary(block[0], 4) + symbols


@pytest.mark.parametrize(
    ("width", "block", "symbols"),
    [
        (4, [1, 2, 3, 4, 5, 6, 7, 8], "01" + "01" + "00000" + "00000"),  # differences 1: planes 0, 0, 0, 0 and all ones
        (4, [8, 7, 6, 5, 4, 3, 2, 1], "01" + "10" + "00000"),  # differences −1: all planes are alike
        (4, [4, 5, 5, 5, 5, 5, 5, 5], "01" + "01" + "00001" + "00011" + "110"),  # the plane above the only one is 0
        (4, [8, 6, 6, 6, 6, 6, 6, 6], "01" + "01" + "00011" + "110" + "001"),  # −2 = 0b11110: the lowest plane is 0
        (8, [5] * 8, "01" + "110"),  # 8 planes, as differences are of the codes' type
        # Differences 2 and −254 ≡ 2, 254 ≡ −2: planes 0101010 six times, then all ones, then all zeros.
        (8, [1, 3, 1, 3, 1, 3, 1, 3], "01" + "011" + "1" + "1010101" + "00000" + "001"),
        (8, [255, 1, 255, 1, 255, 1, 255, 1], "01" + "011" + "1" + "1010101" + "00000" + "001"),
        (16, [7] * 8, "01" + "1110"),
    ],
)
def test_bit_plane_symbols_of_the_authors_by_hand(width: int, block: list[int], symbols: str) -> None:
    coder = BitPlane(lowest_is_base=True)
    expected = "1" * len(block) + binary(block[0], width) + symbols
    assert text_of(coder, block, width) == expected
    codes = torch.tensor([block])
    assert coder.lengths(codes, width).tolist() == [len(expected)]
    assert coder.decode(coder.encode(codes, width), 8, width).tolist() == [block]


def test_the_planes_option_chooses_the_coder() -> None:
    x = sparse(4)
    assert isinstance(planned("ebpc", x, 2600).rungs[0], method.CodedMap)
    for plane, lowest in (("ours", False), ("authors", True)):
        coded = method.BitPlaneCoding({"plane": plane}).codec(
            feature_map(8, 8), MapStatistics.of(x), Allowance(2600, WIDTHS)
        )
        assert isinstance(coded, Ladder)
        rung = coded.rungs[0]
        assert isinstance(rung, method.CodedMap)
        assert rung.coder == BitPlane(lowest_is_base=lowest)


def test_the_order_of_golomb_is_the_best_one() -> None:
    codes = torch.randint(0, 256, (4, 500), generator=torch.Generator().manual_seed(0))
    fitted = SparseExponentialGolomb().fitted(codes, 8)
    lengths = [int(SparseExponentialGolomb(order).encode(codes, 8).lengths.sum()) for order in range(8)]
    assert lengths[fitted.order] == min(lengths) < lengths[0]


def feature_map(channels: int, height: int, width: int = 8) -> FeatureMap:
    return FeatureMap("map", channels, height, width, "producer", (), (Operation("relu"),), source=(height, width))


def sparse(count: int, seed: int = 0) -> torch.Tensor:
    """Maps of 8×8×8 of which about one value in ten is not zero."""
    return (torch.randn(count, 8, 8, 8, generator=torch.Generator().manual_seed(seed)) - 1.3).relu()


METHODS = {
    "zvc": method.ZeroValueCoding,
    "rle": method.RunLengthCoding,
    "csc": method.SparseColumnCoding,
    "ebpc": method.BitPlaneCoding,
    "seg": method.ExponentialGolombCoding,
}


def planned(name: str, x: torch.Tensor, bits: int, widths: tuple[int, ...] = WIDTHS) -> Ladder:
    codec = METHODS[name]({}).codec(feature_map(8, 8), MapStatistics.of(x), Allowance(bits, widths))
    assert isinstance(codec, Ladder)
    return codec


@pytest.mark.parametrize("name", METHODS)
def test_sparse_maps_keep_wide_codes_and_nothing_goes_over(name: str) -> None:
    x, bits = sparse(40), 1600
    codec = planned(name, x, bits)
    assert codec.describe()["bits"] > 1600 // 512  # plain quantisation has 3 bits here
    payload = codec.encode(x)
    assert int(payload.bits_per_image().max()) <= bits
    assert not codec.fallbacks(payload).any()
    noise = torch.cat([sparse(2, 1), torch.rand(3, 8, 8, 8) * 4, torch.full((1, 8, 8, 8), 9.0)])
    payload = codec.encode(noise)
    assert int(payload.bits_per_image().max()) <= bits
    assert codec.fallbacks(payload).tolist()[2:5] == [True] * 3
    restored = unpack(pack(payload), layout(payload))
    decoded = copy.deepcopy(codec).decode(restored)
    assert torch.equal(decoded, codec.decode(payload))
    assert decoded.shape == noise.shape
    assert (decoded[:2] - noise[:2]).square().mean() < 0.01


@pytest.mark.parametrize("name", METHODS)
def test_decoding_gives_the_quantisers_values(name: str) -> None:
    x = sparse(4)
    codec = planned(name, x, 2600)
    assert isinstance(codec, Ladder)
    torch.testing.assert_close(codec(x), codec.rungs[0].quantizer(x), rtol=0, atol=0)


@each_code
def test_gradients_are_the_quantisers(name: str) -> None:
    """Straight through, but for what is cut, which the clip of the rung gets."""
    fmap, x = feature_map(8, 8), torch.cat([sparse(2), 2 * torch.rand(1, 8, 8, 8)]) + 1e-3
    quantizers = [UniformQuantizer(bits, 0.0, 1.5, nonnegative=True) for bits in (8, 3)]
    ladder = Ladder([method.CodedMap(fmap, quantizer, CODES[name][0]) for quantizer in quantizers], 3700, 8)
    assert ladder.encode(x)["rung"].flatten().tolist() == [0, 0, 1]
    weights = torch.rand(x.shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(gradient_of(ladder, x, weights), weights * (x < 1.5))
    for quantizer, images in zip(quantizers, (slice(2), slice(2, 3)), strict=True):
        assert quantizer.high.grad is not None
        assert float(quantizer.high.grad) == pytest.approx(float((weights * (x >= 1.5))[images].sum()), rel=1e-4)


@each_code
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_rows_give_what_the_whole_map_gives(name: str, data: st.DataObject) -> None:
    """Of images of which some are too dense for the widest codes."""
    channels, height, width = (data.draw(st.integers(1, most)) for most in (4, 25, 9))
    fmap, generator = feature_map(channels, height, width), torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    x = torch.randn(3, channels, height, width, generator=generator) - torch.tensor([-1.0, 0.0, 1.5]).view(3, 1, 1, 1)
    quantizers = [UniformQuantizer(bits, 0.0, 3.0, nonnegative=True) for bits in (8, 5, 2)]
    rungs = [method.CodedMap(fmap, quantizer, CODES[name][0]) for quantizer in quantizers]
    ladder = data.draw(ladders(fmap, rungs, x.relu()))
    assert_rows_give_the_whole(ladder, x.relu(), data.draw(stripe_heights(height, ladder.rows)))


@pytest.mark.parametrize("name", ["zvc", "rle", "csc", "ebpc", "seg"])
def test_maps_that_would_fit_plainly_are_coded_too(name: str) -> None:
    x = sparse(4)
    codec = planned(name, x, 2 * 8 * x[0].numel())
    assert isinstance(codec, Ladder)
    assert codec.describe()["bits"] == 8
    assert int(codec.encode(x).bits_per_image().max()) < 8 * x[0].numel()


def test_unsupported_with_figures() -> None:
    with pytest.raises(Unsupported, match="0% of the calibration images"):
        planned("zvc", torch.rand(8, 8, 8, 8) + 0.5, 800)
    with pytest.raises(Unsupported, match="at most 16 bits"):
        planned("zvc", sparse(4), 800, (32,))


def test_half_precision_stays() -> None:
    x = sparse(4)
    codec = planned("ebpc", x, 1600).to(torch.float16)
    assert codec(x.half()).dtype == torch.float16


@pytest.mark.parametrize(
    "coder",
    [RunLength(), SparseExponentialGolomb(0), SparseExponentialGolomb(2), BitPlane()],
    ids=lambda coder: type(coder).__name__,
)
@pytest.mark.parametrize("pattern", [[0], [7], [15, 0], [1] + [0] * 16, [15] * 3 + [0] * 32], ids=str)
def test_long_strings_that_never_fall_into_step(coder: Coder, pattern: list[int]) -> None:
    """Where a string repeats itself, a reader that begins in its middle may stay out of step to the end."""
    codes = torch.tensor(pattern, dtype=torch.uint8).repeat(2, 40_000)[:, :40_001]
    codes[1, -1] = 3
    assert torch.equal(coder.decode(coder.encode(codes, 4), codes.shape[1], 4), codes)


def test_symbols_begin_where_the_automaton_says() -> None:
    """A 1 and three bits, or a 0: the positions by hand, in two strings of which the second is cut short."""
    bits = torch.tensor([int(bit) for bit in "01001011110101"], dtype=torch.uint8)
    starts, counts = symbol_starts(Stream(bits, torch.tensor([10, 4])), prefix_code(3, (0, 3)))
    assert starts.tolist() == [0, 1, 5, 6, 10, 11]
    assert counts.tolist() == [4, 2]


def walked(bits: list[int], code: Transitions) -> list[int]:
    """Where symbols begin, read bit by bit."""
    starts, state = [], 0
    for position, bit in enumerate(bits):
        if state == 0:
            starts.append(position)
        state = code[state][bit]
    return starts


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 40), st.integers(0, 9000)), max_size=5), st.integers(0, 99), st.integers(1, 9))
def test_symbols_of_any_bits_begin_where_a_plain_reader_finds_them(lengths: list[int], seed: int, ones: int) -> None:
    """Runs and values of 9 bits, which fall into step slowly."""
    code = prefix_code(8, (4, 8))
    generator = torch.Generator().manual_seed(seed)
    bits = (torch.rand(sum(lengths), generator=generator) < ones / 10).to(torch.uint8)
    stream = Stream(bits, torch.tensor(lengths, dtype=torch.int64))
    starts, counts = symbol_starts(stream, code)
    expected = [walked(string.tolist(), code) for string in stream.strings()]
    assert counts.tolist() == [len(positions) for positions in expected]
    begins = zip(stream.starts.tolist(), expected, strict=True)
    assert starts.tolist() == [begin + position for begin, positions in begins for position in positions]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5), st.integers(0, 90), st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0]), st.integers(0, 99))
def test_flags_are_read_whatever_follows_them(images: int, count: int, density: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    flags = torch.rand(images, count, generator=generator) < density
    stream = encode_flags(flags)
    assert ["".join(map(str, string.tolist())) for string in stream.strings()] == [
        run_length(row, 0) for row in flags.int().tolist()
    ]
    lengths = torch.randint(0, 200, (images,), generator=generator)
    behind = Stream(torch.randint(0, 2, (int(lengths.sum()),), generator=generator).to(torch.uint8), lengths)
    ones, counts, used = decode_flags(join(stream, behind), count)
    assert ones.tolist() == flags.flatten().nonzero()[:, 0].tolist()
    assert counts.tolist() == flags.sum(1).tolist()
    assert used.tolist() == stream.lengths.tolist()
