"""Sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actbench.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"), [("64KiB", 65536), ("1.5MiB", 1572864), (" 8 GiB ", 2**33), ("0.3KiB", 307), ("7B", 7), ("0B", 0)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "64", "64KB", "64kib", "-1KiB", "1e3KiB", "²KiB", "1.0000000KiB", "9" * 30 + "B"])
def test_what_is_no_size(text: str) -> None:
    assert parse_size(text) is None


@given(st.integers(0, 10**9 - 1) | st.integers(0, 10**6).map(lambda kibibytes: kibibytes * 1024))
def test_sizes_are_written_as_they_are_read(size: int) -> None:
    assert parse_size(format_size(size)) == size
