"""What tables and lines on the terminal have in common."""

from actbench.cli.tables import some_of


def test_many_names_are_counted() -> None:
    assert some_of([]) == ""
    assert some_of(["a", "b"]) == "a, b"
    assert some_of(list("abcdefgh")) == "a, b, c, d, e, f, g, h"
    assert some_of(list("abcdefghij")) == "a, b, c, d, e, f, g, h and 2 more"
