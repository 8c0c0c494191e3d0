"""What the plugins' property tests draw."""

from hypothesis import strategies as st


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    """fp32 numbers as feature maps have them, none of them subnormal: below 2^−126 a number is zero to a codec, as it
    is to hardware that flushes such numbers, and no feature map lives there."""
    return st.floats(low, high, width=32, allow_subnormal=False)
