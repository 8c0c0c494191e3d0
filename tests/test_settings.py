"""Settings of a track: said once, and the same on the command line, in a cell's key, in titles and in tables."""

import shlex
from typing import Any

import pytest

from actbench.errors import UserError
from actbench.records.columns import column
from actbench.settings import TRACKS, Inference, Settings, Training, settings_from_canonical, settings_of

SETTINGS = [
    Inference(),
    Inference(200),
    Inference(200, "paper"),
    Inference(maps="conv-inputs"),
    Inference(stripe="8"),
    Inference(stripe="off"),
    Inference(fit="off"),
    Inference(plain="never"),
    Inference(compute="int8"),
    Inference(compile=True, maps="conv-inputs"),
    Training(100),
    Training(100, 4, "recomputed"),
]
DEFAULTS: dict[str, Any] = {
    "--recover": 0,
    "--recipe": "protocol",
    "--maps": "live",
    "--stripe": "auto",
    "--fit": "on",
    "--plain": "rule",
    "--compute": "fp32",
    "--compile": False,
    "--last": None,
    "--normalisation": "quantised",
}
NUMBERS = ("--recover", "--last")


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.title)
def test_the_arguments_give_the_settings_again(settings: Settings) -> None:
    words = settings.arguments()
    chosen: dict[str, Any] = {"--compile": True} if "--compile" in words else {}
    valued = [word for word in words if word != "--compile"]  # which has no value
    chosen |= dict(zip(valued[::2], valued[1::2], strict=True))
    track = chosen.pop("--track", "inference")
    whole = {name: int(value) if name in NUMBERS else value for name, value in chosen.items()}
    assert settings_of(track, DEFAULTS | whole) == settings  # type: ignore[arg-type]
    assert shlex.join(words) == " ".join(words)


@pytest.mark.parametrize("rows", ["0", "-1", "1.5", "²", "all", "", "9999999"])
def test_rows_of_a_stripe_are_a_number(rows: str) -> None:
    with pytest.raises(UserError, match="--stripe"):
        Inference(stripe=rows)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.title)
def test_the_canonical_form_gives_the_settings_again(settings: Settings) -> None:
    assert settings_from_canonical(settings.canonical()) == settings


def test_what_is_at_its_default_goes_without_saying() -> None:
    closed = {"track": "inference", "division": "closed", "recover": 0}
    assert Inference().canonical() == closed | {"maps": "live"}
    assert Inference(maps="conv-inputs").canonical() == closed, "as cells from before there was a choice"
    assert Training(100).canonical() == {"track": "training", "division": "open", "recover": 100}
    assert Training(100, 4).canonical()["last"] == 4


def test_titles_are_for_people() -> None:
    assert [settings.title for settings in SETTINGS] == [
        "inference, closed",
        "inference, open (200 steps)",
        "inference, open (200 steps), papers' recipes",
        "inference, closed, what convolutions read",
        "inference, closed, stripes of 8 rows",
        "inference, closed, whole maps",
        "inference, closed, bare methods",
        "inference, closed, no plain maps",
        "inference, closed, convolutions in int8",
        "inference, closed, what convolutions read, compiled too",
        "training, all layers (100 steps)",
        "training, last 4 layers (100 steps), normalisations recomputed",
    ]


def test_whose_rows_a_setting_changes() -> None:
    assert Inference(200, "paper").of_role("method") == Inference(200, "paper")
    assert Inference(200, "paper").of_role("baseline") == Inference(200)
    assert Inference(compute="int8", compile=True).of_role("baseline") == Inference(compute="int8", compile=True)
    assert Inference(compute="int8", compile=True).of_role("reference") == Inference()
    assert Inference(maps="conv-inputs").of_role("reference") == Inference(maps="conv-inputs")
    assert Training(9, 4, "exact").of_role("baseline") == Training(9, 4, "exact")
    assert Training(9, 4, "exact").of_role("reference") == Training(9, 4)


@pytest.mark.parametrize(
    ("track", "chosen", "says"),
    [
        ("training", {"--recover": 3, "--maps": "conv-inputs"}, "--maps goes with --track inference"),
        ("inference", {"--last": 2}, "--last goes with --track training"),
        ("inference", {"--normalisation": "exact"}, "--normalisation goes with --track training"),
        ("training", {"--recover": 3, "--compute": "int8"}, "--compute goes with --track inference"),
        ("training", {"--recover": 3, "--compile": True}, "--compile goes with --track inference"),
        ("training", {"--recover": 3, "--recipe": "paper"}, "--recipe goes with --track inference"),
        ("training", {}, "give a number of steps"),
        ("inference", {"--recipe": "paper"}, "give a number of steps"),
    ],
)
def test_what_does_not_go_together(track: Any, chosen: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        settings_of(track, DEFAULTS | chosen)


@pytest.mark.parametrize("kind", TRACKS.values())
def test_every_setting_is_worded_and_has_a_column(kind: type[Settings]) -> None:
    for wording in kind.wordings().values():
        assert wording.argument.startswith("--")
        assert wording.help.endswith(".")
        assert column(wording.column).help.endswith(".")
