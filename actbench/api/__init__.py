"""Methods on a network of one's own, from Python: what `import actbench` offers beside the plugin's interface."""

from actbench.api.compressed import Compressed
from actbench.api.compression import compress
from actbench.api.exported import export
from actbench.api.in_place import restore
from actbench.api.saving import CompressedTraining, compress_training, compressed_training

__all__ = [
    "Compressed",
    "CompressedTraining",
    "compress",
    "compress_training",
    "compressed_training",
    "export",
    "restore",
]
