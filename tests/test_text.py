"""Text from elsewhere is shown, never obeyed."""

import pytest

from actbench.errors import UserError
from actbench.text import some_of, visible


@pytest.mark.parametrize("text", ["", "plain [bold] text", "3×32×32 ± 0.5 – é 中文 😀", "\\x1b"])
def test_printable_text_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x00\x07\x7f\x9b", r"\x00\x07\x7f\x9b"),
        ("\u202eexe.png\u2066", r"\u202eexe.png\u2066"),
        ("\u2028\ufeff\u200b", r"\u2028\ufeff\u200b"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_a_terminal_obeys_or_hides_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert str(UserError(f"no {text}")) == f"no {shown}"


def test_many_names_are_counted() -> None:
    assert some_of([]) == ""
    assert some_of(["a", "b"]) == "a, b"
    assert some_of(list("abcdefgh")) == "a, b, c, d, e, f, g, h"
    assert some_of(list("abcdefghij")) == "a, b, c, d, e, f, g, h and 2 more"
