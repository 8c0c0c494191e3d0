"""Squares of photographs: what is for training is not for tests, and what is damaged is damaged as it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy
import pytest
import pywt.data
import torch
from PIL import Image
from torch import Tensor

from actbench.errors import UserError
from actbench.workloads import photographs
from actbench.workloads.identify import PHOTOGRAPHED
from actbench.workloads.photographs import PHOTOGRAPHS_VERSION, crops, halved, noisy, tiles


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures whose left halves are 0 to 99, and whose right halves are 100 and more."""
    columns = torch.arange(512)
    pictures = torch.where(columns < 256, columns * 99 // 255, 100 + (columns - 256) // 2).byte()
    monkeypatch.setattr(photographs, "photographs", lambda: pictures.expand(3, 512, 512))


@pytest.mark.usefixtures("halves")
def test_training_and_tests_share_no_pixel() -> None:
    cut = crops(2000, 64, seed=1)
    assert (cut.shape, cut.dtype) == ((2000, 1, 64, 64), torch.uint8)
    assert cut.max() == 99, "the border of the halves is reached"
    assert cut.min() == 0
    assert tiles(64).min() == 100


def test_tiles_are_the_right_halves_one_of_each_picture_in_turn() -> None:
    cut = tiles(64)
    assert cut.shape == (96, 1, 64, 64)
    for number, name in enumerate(("aero", "ascent", "camera")):
        picture = getattr(pywt.data, name)()
        places = [(top, left) for top in range(0, 512, 64) for left in (256, 320, 384, 448)]
        wanted = sorted(picture[top : top + 64, left : left + 64].tobytes() for top, left in places)
        assert sorted(square.numpy().tobytes() for square in cut[number::3]) == wanted


def test_crops_are_turned_and_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = torch.arange(512)[:, None] // 4 + torch.arange(512)[None, :] // 2 % 128
    monkeypatch.setattr(photographs, "photographs", lambda: ramp.byte().expand(3, 512, 512))
    slopes = {
        (bool(down > 0), bool(right > 0), bool(abs(down) > abs(right)))
        for square in crops(128, 16, seed=0)[:, 0].double()
        for down, right in [((square[-1] - square[0]).median(), (square[:, -1] - square[:, 0]).median())]
    }
    assert len(slopes) == 8


@pytest.mark.parametrize("make", [lambda n: crops(n, 32, 5), lambda n: noisy(crops(n, 32, 5), 7)])
@pytest.mark.parametrize("count", [1, 10, 64, 65])
def test_the_first_do_not_depend_on_how_many_follow(make: Callable[[int], Tensor], count: int) -> None:
    few = make(count)
    assert len(few) == count
    assert torch.equal(few, make(130)[:count])


def test_noise() -> None:
    grey = torch.full((50, 1, 64, 64), 127, dtype=torch.uint8)
    levels = noisy(grey, seed=3).double()
    assert float(levels.mean()) == pytest.approx(127, abs=0.3)
    assert float(levels.std()) == pytest.approx(25, rel=0.01)
    assert not torch.equal(noisy(grey, seed=4).double(), levels)
    white = noisy(torch.full((4, 1, 64, 64), 255, dtype=torch.uint8), seed=3)
    assert (white == 255).double().mean() == pytest.approx(0.5, abs=0.02), "what is above is clipped"


def test_halved_is_what_pillow_makes() -> None:
    cut = tiles(64)[::7]
    resized = [Image.fromarray(square[0].float().numpy()).resize((32, 32), Image.Resampling.BICUBIC) for square in cut]
    expected = numpy.stack([numpy.asarray(square) for square in resized]).clip(0, 255)
    assert numpy.abs(halved(cut)[:, 0].numpy() - expected).max() < 0.51


@pytest.fixture
def _nothing_cached() -> Iterator[None]:
    photographs.photographs.cache_clear()
    yield
    photographs.photographs.cache_clear()


@pytest.mark.usefixtures("_nothing_cached")
def test_other_pictures_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pywt.data, "camera", lambda: numpy.zeros((512, 512), numpy.uint8))
    with pytest.raises(UserError, match="has another picture 'camera': install"):
        tiles(64)


def test_the_version_is_the_one_that_runs_are_planned_with() -> None:
    assert f"photographs:{PHOTOGRAPHS_VERSION}" == PHOTOGRAPHED
