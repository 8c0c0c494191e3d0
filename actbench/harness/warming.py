"""What all cells of a workload share, computed before the first of them and kept for the others."""

from __future__ import annotations

import os

import torch

from actbench.harness.isolation import image_file, tensors
from actbench.harness.isolation.apart import computed_apart
from actbench.harness.training import SAVED_MAPS, reference_key, reference_scores
from actbench.harness.workbench import Workbench
from actbench.info import Track
from actbench.settings import Training
from actbench.spec import CellSpec


def evaluation_of(bench: Workbench, track: Track, threads: int) -> int:
    """A file with the evaluation images of a track, in memory unless they may be too many. On the inference track the
    workbench keeps the reference's scores on them. Raises UserError where the images cannot be had."""

    def write(result: int) -> None:
        torch.set_num_threads(threads)
        image_file.write_images(result, bench.transfer_evaluation if track == "training" else bench.evaluation)

    def score(result: int) -> None:
        torch.set_num_threads(threads)
        bench.hand_over(lambda: image_file.read_images(images))
        tensors.write(result, {"scores": bench.reference_scores})

    new_file = image_file.disk_file if bench.workload.streams else tensors.memory_file
    images = computed_apart(write, f"evaluation images of {bench.info.name}", new_file)
    if track == "inference":
        scores = computed_apart(score, f"the quality of {bench.info.name} as it is")
        bench.reference_scores = tensors.read(scores, "scores")
        os.close(scores)
    return images


def warm_up(bench: Workbench, cell: CellSpec, threads: int) -> None:
    """Has the workbench compute what a cell shares with others, where it has not yet."""
    if not isinstance(cell.settings, Training):
        bench.warm_up(cell.settings.maps, None if cell.is_reference else cell.calibration)
        return
    saved = bench.maps[SAVED_MAPS]
    if not cell.is_reference:
        assert saved.transfer_statistics(cell.calibration)[saved.network.maps[0].name]
    settings, key = cell.settings, reference_key(cell.settings, cell.seed)
    if key not in bench.trained_references:

        def work(result: int) -> None:
            torch.set_num_threads(threads)
            tensors.write(result, {"scores": reference_scores(bench, settings, cell.seed)})

        bench.trained_references[key] = tensors.read(computed_apart(work, "the network trained as it is"), "scores")
