"""The renderer draws the same scenes from the same seed, and what it says of them is true."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from actbench.workloads.identify import RENDERED
from actbench.workloads.rendering import CLASSES, EVALUATION_SEED, RENDERER_VERSION, TRAINING_SEED, Scenes, render

COUNT, SIZE = 256, 64


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return render(COUNT, EVALUATION_SEED, SIZE)


def fields(scenes: Scenes) -> tuple[Tensor, ...]:
    return scenes.images, scenes.labels, scenes.masks, scenes.depth


def main_object(scenes: Scenes) -> Tensor:
    """(n, size, size) bool: where the object that gives the label is seen."""
    return scenes.masks == (scenes.labels + 1)[:, None, None]


def assert_equal(left: Scenes, right: Scenes, count: int) -> None:
    for one, other in zip(fields(left), fields(right), strict=True):
        assert torch.equal(one[:count], other[:count])


def test_shapes_and_types(scenes: Scenes) -> None:
    assert [tuple(field.shape) for field in fields(scenes)] == [
        (COUNT, 3, SIZE, SIZE),
        (COUNT,),
        (COUNT, SIZE, SIZE),
        (COUNT, SIZE, SIZE),
    ]
    assert [field.dtype for field in fields(scenes)] == [torch.float32, torch.int64, torch.int64, torch.float32]


@pytest.mark.parametrize("size", [16, 33])
def test_other_sizes(size: int) -> None:
    scenes = render(3, TRAINING_SEED, size)
    assert scenes.images.shape == (3, 3, size, size)
    assert scenes.depth.isfinite().all()


def test_the_same_seed_draws_the_same_scenes(scenes: Scenes) -> None:
    assert_equal(render(COUNT, EVALUATION_SEED, SIZE), scenes, COUNT)


@pytest.mark.parametrize("count", [1, 10, 64, 65, 130])
def test_the_first_scenes_do_not_depend_on_how_many_follow(scenes: Scenes, count: int) -> None:
    few = render(count, EVALUATION_SEED, SIZE)
    assert len(few.labels) == count
    assert_equal(few, scenes, count)


def test_training_and_evaluation_share_no_image(scenes: Scenes) -> None:
    training = {image.numpy().tobytes() for image in render(COUNT, TRAINING_SEED, SIZE).images}
    evaluation = {image.numpy().tobytes() for image in scenes.images}
    assert len(training) == len(evaluation) == COUNT
    assert not training & evaluation


def test_neither_reads_nor_moves_the_global_generator(scenes: Scenes) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    drawn = render(10, EVALUATION_SEED, SIZE)
    assert torch.equal(torch.get_rng_state(), before)
    assert_equal(drawn, scenes, 10)


def test_images_are_at_8_bit_levels(scenes: Scenes) -> None:
    levels = (scenes.images * 255).round()
    assert torch.equal(scenes.images, levels / 255)
    assert levels.min() >= 0
    assert levels.max() <= 255
    assert len(levels.unique()) > 200


def test_every_class_occurs_about_as_often(scenes: Scenes) -> None:
    assert len(set(CLASSES)) == len(CLASSES) == 10
    occurrences = scenes.labels.bincount(minlength=10)
    assert len(occurrences) == 10
    assert occurrences.min() >= COUNT / 10 / 3


def test_masks_hold_the_main_object_and_others(scenes: Scenes) -> None:
    assert set(scenes.masks.unique().tolist()) == set(range(11))
    share = main_object(scenes).float().mean((1, 2))
    assert share.min() > 0.01
    assert 0.08 < share.median() < 0.25
    seen = torch.stack([(scenes.masks == number).flatten(1).any(1) for number in range(1, 11)], dim=1)
    assert (seen.sum(1) <= 4).all()
    assert (seen.sum(1) >= 2).float().mean() > 0.9


def test_the_main_object_is_the_largest(scenes: Scenes) -> None:
    areas = torch.stack([(scenes.masks == number).sum((1, 2)) for number in range(1, 11)], dim=1)
    # Occlusion, and two small objects of one class, leave a few scenes where another covers more pixels.
    assert (areas.argmax(1) == scenes.labels).float().mean() > 0.9


def test_the_ground_is_farthest(scenes: Scenes) -> None:
    ground = scenes.masks == 0
    distance = scenes.depth[ground].unique()
    assert len(distance) == 1
    assert scenes.depth.min() > 0
    assert (scenes.depth[~ground] < distance).all()


def test_some_objects_are_in_front_of_the_main_one(scenes: Scenes) -> None:
    """Other classes' pixels surrounded by the main object, on all four sides of them."""
    main, other = main_object(scenes), (scenes.masks > 0) & ~main_object(scenes)
    before = [main.int().cumsum(axis) > 0 for axis in (1, 2)]
    behind = [main.flip(axis).int().cumsum(axis).flip(axis) > 0 for axis in (1, 2)]
    within = other & before[0] & before[1] & behind[0] & behind[1]
    share = (within.sum((1, 2)) > 10).float().mean()
    assert 0.1 < share < 0.9


def test_objects_are_lit(scenes: Scenes) -> None:
    """A lit solid has brighter and darker sides: its brightness varies much more than the sensor's noise."""
    brightness = scenes.images.mean(1)
    main = main_object(scenes)
    deviations = torch.stack([brightness[index][main[index]].std() for index in range(COUNT)])
    assert deviations.median() > 0.06


@pytest.mark.parametrize(("count", "size"), [(0, 64), (-1, 64), (1, 15), (1, 0)])
def test_refuses_nothing_to_draw(count: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"count {count} and size {size}"):
        render(count, TRAINING_SEED, size)


def test_the_version_is_the_one_that_runs_are_planned_with() -> None:
    assert f"renderer:{RENDERER_VERSION}" == RENDERED
