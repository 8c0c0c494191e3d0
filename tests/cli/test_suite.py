"""Suites: files of methods with options."""

from pathlib import Path

import pytest

from actbench.budget import Bits, Ceiling
from actbench.cli.suite import read_suite
from actbench.errors import UserError
from actbench.harness.schedule import RunRequest, Variant, cells_of
from actbench.info import Track
from actbench.registry import Registry, load_plugins
from actbench.settings import TRACKS

SUITES = sorted((Path(__file__).parents[2] / "suites").glob("*.toml"))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


def written(folder: Path, text: str) -> Path:
    path = folder / "suite.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_the_suites_that_come_along_name_what_is_there(path: Path, registry: Registry) -> None:
    variants = read_suite(path, registry).variants
    assert len(variants) > 1
    assert len({repr(variant) for variant in variants}) == len(variants)
    assert "--suite suites/" + path.name in path.read_text()


def test_variants_are_cells_beside_the_methods(registry: Registry) -> None:
    variants = (Variant("wcc"), Variant("wcc", {"levels": 1}))
    request = RunRequest("shapes", ("wcc",), (Ceiling.parse("8x"),), (Bits.parse("w8a8"),), variants=variants)
    cells = [cell for cell in cells_of(request, registry) if cell.method.name == "wcc"]
    assert [cell.method.options["levels"] for cell in cells] == [3, 1]


def test_all_are_the_methods_of_the_track(registry: Registry) -> None:
    def names(track: Track) -> set[str]:
        settings = TRACKS[track](1)
        request = RunRequest("shapes", ("all",), (Ceiling.parse("8x"),), (Bits.parse("w8a8"),), settings=settings)
        return {cell.method.name for cell in cells_of(request, registry)}

    assert names("inference") == {name for name, info in registry.methods.items() if "inference" in info.tracks}
    assert names("training") == {name for name, info in registry.methods.items() if "training" in info.tracks}
    assert names("training") != names("inference")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("variants = 3", "variants: Input should be a valid list"),
        ("variants = []", "no variants and no workload"),
        ("[[variants]]", "variants.0.method: Field required"),
        ("[[variants]]\nmethod = 'wcc'\nspeed = 1", "variants.0.speed: Extra inputs"),
        ("[[variants]]\nmethod = 'wc'", "did you mean wcc"),
        ("[[variants]]\nmethod = 'wcc'\noptions = { level = 1 }", "wcc has no option 'level'"),
        ("[[variants]]\nmethod = 'wcc'\noptions = { levels = 99 }", "choose from"),
        ("[[variants]]\nmethod = 'wcc'\noptions = { levels = [1] }", "variants.0.options.levels"),
        ("variants", "not a TOML file"),
        ("\0", "not a TOML file"),
    ],
)
def test_what_is_no_suite_is_refused_in_a_line(tmp_path: Path, registry: Registry, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        read_suite(written(tmp_path, text), registry)
    assert len(str(caught.value).splitlines()) == 1
