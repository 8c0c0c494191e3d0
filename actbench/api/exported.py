"""A compressed model as files that others run."""

from __future__ import annotations

from pathlib import Path

from actbench.api.calibration import Calibration, Images
from actbench.api.compressed import Compressed
from actbench.api.modes import in_mode
from actbench.exporting.deployment import Deployment, Format
from actbench.exporting.write import Exported, write_export

_TOGETHER = 32


def export(model: Compressed, directory: str | Path, *, format: Format = "onnx", images: Images) -> Exported:
    """Writes a model that `compress` made as it would be deployed, with its codecs: `format="onnx"` as ONNX in QDQ form
    (`pip install "actbench[onnx]"`), `format="torch"` as a program of torch.export. Beside it are `maps.csv`, a row for
    each feature map, and `export.json`, what was checked. The directory has to be new, or empty.

    What was written is loaded again and compared with the deployed form on `images`, at most 512 of them, as `compress`
    takes them. Raises OtherOutputs where top-1 differs beyond ties or an output by more than the tolerance, Unsupported
    where a format cannot hold the codecs; then nothing is written. Prints as what was found.
    """
    with in_mode(model, training=False):
        pixels = Calibration.of(images, model).pixels
    made = model._compression
    deployment = Deployment(made.network, made.spliced, made.budget, made.method)
    return write_export(deployment, Path(directory), format, pixels.split(_TOGETHER))
