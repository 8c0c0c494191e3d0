"""What plugins register: options and names."""

from collections.abc import Callable
from pathlib import PurePosixPath

import pytest

from actbench.errors import UserError
from actbench.info import ExecutorInfo, MethodInfo, Option, OptionValue, WorkloadInfo, load_target

METHOD = MethodInfo(
    "tiles",
    "Tiles",
    "package.module:Tiles",
    "2",
    options=(
        Option("rank", 4, "how many", choices=(2, 4, 8)),
        Option("shift", 0.5, "how far"),
        Option("fold", True, "whether"),
        Option("start", "pca", "from where", choices=("pca", "random")),
    ),
)


def option(name: str) -> Option:
    return next(option for option in METHOD.options if option.name == name)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rank", "8", 8),
        ("shift", "-1", -1.0),
        ("shift", "1e-3", 0.001),
        ("fold", "no", False),
        ("fold", "TRUE", True),
        ("fold", "0", False),
        ("start", "random", "random"),
    ],
)
def test_options_have_the_type_of_their_default(name: str, text: str, value: OptionValue) -> None:
    parsed = option(name).parse(text)
    assert parsed == value
    assert type(parsed) is type(option(name).default)


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("rank", "3", "2, 4, 8"),
        ("rank", "4.0", "int"),
        ("rank", "four\nfive", "int"),
        ("rank", "9" * 5000, "int"),
        ("shift", "far", "float"),
        ("shift", "nan", "shift"),
        ("shift", "inf", "shift"),
        ("fold", "maybe", "true or false"),
        ("start", "PCA", "pca, random"),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_bad_option_values(name: str, text: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint) as caught:
        option(name).parse(text)
    assert len(str(caught.value).splitlines()) == 1


def test_defaults_are_filled_in() -> None:
    assert METHOD.resolve({"shift": 2.0, "rank": 2}) == {"rank": 2, "shift": 2.0, "fold": True, "start": "pca"}
    assert list(METHOD.resolve({"start": "random"})) == ["rank", "shift", "fold", "start"]


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"rank": 3}, "choose from 2, 4, 8"),
        ({"rank": "4"}, "type int"),
        ({"rank": True}, "type int"),
        ({"fold": 1}, "type bool"),
        ({"start": "PCA"}, "pca, random"),
    ],
)
def test_given_options_have_the_type_and_are_a_choice(given: dict[str, OptionValue], hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        METHOD.resolve(given)


def test_a_whole_number_is_a_number() -> None:
    assert repr(METHOD.resolve({"shift": 2})["shift"]) == "2.0"


def test_unknown_options() -> None:
    with pytest.raises(UserError, match="tiles has no option 'size'; its options: rank, shift, fold, start"):
        METHOD.resolve({"rank": 2, "size": 3})
    with pytest.raises(UserError, match="none"):
        MethodInfo("plain", "Plain", "package.module:Plain", "1").resolve({"size": 3})


REGISTRATIONS: dict[str, Callable[[str, str], object]] = {
    "method": lambda name, target: MethodInfo(name, "A title", target, "1"),
    "workload": lambda name, target: WorkloadInfo(name, "A title", target, "package.module:identify", "top-1"),
    "executor": lambda name, target: ExecutorInfo(name, "A title", target),
}


@pytest.mark.parametrize("make", REGISTRATIONS.values(), ids=REGISTRATIONS.keys())
def test_names_and_targets_are_checked(make: Callable[[str, str], object]) -> None:
    make("a", "package:Class")
    make("resnet-18-" + "x" * 54, "package.sub_package.module:Class")
    for name in ("", "Method", "my_method", "-a", "a b", "a\n", "a/b", "..", "é", "a" * 65):
        with pytest.raises(ValueError, match="name"):
            make(name, "package:Class")
    for target in ("", "package.module", "package:", ":Class", "package:Class()", "package/module.py:Class", "1:C"):
        with pytest.raises(ValueError, match="target"):
            make("fine", target)


def test_a_reference_point_is_a_finite_number() -> None:
    def with_point(point: object) -> WorkloadInfo:
        return WorkloadInfo("w", "A title", "m:C", "m:i", "top-1", reference_point=point)  # type: ignore[arg-type]

    assert [with_point(point).reference_point for point in (None, 10, 0.1)] == [None, 10, 0.1]
    for wrong in ("10", True, float("nan"), float("inf")):
        with pytest.raises((TypeError, ValueError), match="reference_point"):
            with_point(wrong)


def test_targets_are_loaded() -> None:
    assert load_target("pathlib:PurePosixPath") is PurePosixPath
