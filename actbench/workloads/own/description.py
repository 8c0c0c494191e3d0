"""The description of a network and images of the user's own: what he says of them, and what of it is in a cell's key.
No torch, and none of the user's code runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from actbench.errors import UserError
from actbench.fields import NAME, check_text, one_line
from actbench.info import WorkloadInfo
from actbench.workloads.files import file_digest
from actbench.workloads.own.code import Code
from actbench.workloads.own.layout import Layout
from actbench.workloads.own.library_metrics import LibraryName
from actbench.workloads.own.tasks import INTERPOLATIONS, TASKS, Interpolation, MetricWords, Task, metric_words

LIBRARIES = ("torchvision", "timm")
RANDOM = "random"
"""In place of a checkpoint: the network as it is initialised, by one seed."""

IGNORED = 255


@dataclass(frozen=True)
class Description:
    """A network and images of the user's own.

    `model`: `FILE.py:NAME`, `torchvision:NAME` or `timm:NAME`. `data`: a folder, a file `.npz` or `FILE.py:NAME`, or
    nothing where only the network is asked for. `weights`: a checkpoint, `random`, or nothing for what the model comes
    with. `metric`: one of the task's, `torchmetrics:NAME` or `FILE.py:NAME`; the task's first for nothing. `input`:
    (C, H, W) that images are scaled to, as they are for None; `interpolation`: by which polynomials. `mean` and `std`:
    by channel, of pixels in 0 to 1, as the task has them for None. `output`: the key, or the number, of what the
    network's output is where it gives several. `ignore`: the label of pixels that do not count. `scale`: what stored
    values are divided by.
    Raises UserError for what does not go together.
    """

    model: str
    task: Task
    data: str
    weights: str = ""
    metric: str = ""
    input: tuple[int, int, int] | None = None
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    class_names: tuple[str, ...] = ()
    output: str = ""
    ignore: int = IGNORED
    scale: float = 1.0
    name: str = ""

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise UserError(f"--task {self.task!r}: choose from {', '.join(TASKS)}")
        if self.interpolation not in INTERPOLATIONS:
            raise UserError(f"--interpolation {self.interpolation!r}: choose from {', '.join(INTERPOLATIONS)}")
        if Code.parse(self.model) is None and self.library is None:
            raise UserError(f"--model {self.model!r}: write FILE.py:NAME, torchvision:NAME or timm:NAME")
        if (self.mean is None) != (self.std is None) or len(self.mean or ()) != len(self.std or ()):
            raise UserError("give --mean and --std together, a number of each for every channel")
        if not all(value > 0 for value in (*(self.std or ()), *(self.input or ()), self.scale)):
            raise UserError("--std, --input and --scale are above 0")
        if len(set(self.class_names)) < len(self.class_names):
            raise UserError("--class-names names a class twice")
        if any("," in name for name in self.class_names):
            raise UserError("--class-names: a class has a comma in its name, which separates them")
        for text in (self.model, self.output, *self.class_names):
            _check_printable(text)
        object.__setattr__(self, "name", self.name or _name_of(self.model))
        if not NAME.fullmatch(self.name):
            raise UserError(f"--name {self.name!r}: use lower-case letters, digits and hyphens, 64 at most")
        if self.metric_code is None and self.library_metric is None:
            metric_words(self.task, self.metric)

    @property
    def library(self) -> tuple[str, str] | None:
        """The library that the model is from, and its name there; None for one of the user's."""
        source, _, name = self.model.partition(":")
        return (source, name) if source in LIBRARIES and name else None

    @property
    def metric_code(self) -> Code | None:
        """The user's own metric; None for one of the task's."""
        return Code.parse(self.metric)

    @property
    def library_metric(self) -> LibraryName | None:
        """A metric of torchmetrics; None for any other."""
        return LibraryName.parse(self.metric)

    @cached_property
    def layout(self) -> Layout:
        """What is where in the data. Raises UserError where that cannot be seen, and where there are no data."""
        if not self.data:
            raise UserError(f"workload {self.name}: say where its images are, with --data")
        return Layout.of(self.data, self.task, self.class_names)

    def words(self) -> MetricWords:
        """What tables say of the metric, as far as that is known before the user's code runs."""
        named = self.metric_code or self.library_metric
        return metric_words(self.task, self.metric) if named is None else MetricWords(named.name)

    def info(self, words: MetricWords) -> WorkloadInfo:
        """The workload as it would be listed, with a metric of which tables say these words."""
        classes = self.layout.classes if self.task == "classification" else None
        return WorkloadInfo(
            self.name,
            f"{self.canonical()['model']}, {self.task}",
            target="actbench.workloads.own.workload:OwnWorkload",
            identify="actbench.workloads.own.description:Description",
            metric=words.name,
            unit=words.unit,
            better=words.better,
            reference_point=100 / classes if classes and words.name == "top-1" else None,
        )

    def digests(self) -> dict[str, str]:
        """Digests of all that a result depends on. Raises UserError where something is missing."""
        codes = {"model": Code.parse(self.model), "metric": self.metric_code}
        digests = {what: code.digest() for what, code in codes.items() if code is not None}
        digests["data"] = self.layout.digest()
        if self.weights == RANDOM:
            digests["weights"] = RANDOM
        elif self.weights:
            digests["weights"] = file_digest(Path(self.weights))
        elif self.library is not None:
            digests["weights"] = f"{self.library[0]}: its own"
        return digests

    def canonical(self) -> dict[str, Any]:
        """Plain JSON values in a fixed form, without what goes without saying, and without the folders of files."""
        left_out = {field.name: field.default for field in fields(self)}
        said = ((name, value) for name, value in self.as_said().items() if name not in _ELSEWHERE)
        kept = {name: value for name, value in said if value != left_out[name]}
        named = {name: str(code) for name in ("model", "metric") if (code := Code.parse(getattr(self, name)))}
        code = Code.parse(self.data)
        values = kept | named | ({} if code is None else {"data": str(code)})
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_canonical(cls, said: Mapping[str, Any], name: str, data: Path | None, weights: str) -> Description:
        """The description that `canonical` gives, with what it leaves out. Code is looked for in the folder that one
        stands in, and nowhere else. Raises UserError where data are missing, and for what `canonical` does not give."""
        if data is None and "data" not in said:
            raise UserError(f"workload {name} needs --data: the images that it was measured on")
        if any(Path(str(said.get(part, ""))).name != str(said.get(part, "")) for part in ("model", "metric", "data")):
            raise UserError(f"workload {name} names a folder, which no record does")
        values = {**said, "name": name, "weights": weights}
        return cls.from_json(values if data is None else values | {"data": str(data)})

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; paths absolute."""
        return self.in_folder(Path.cwd()).as_said()

    def as_said(self) -> dict[str, Any]:
        """All fields by their names."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Description:
        """What `to_json` gave."""
        fitting: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        try:
            return cls(**fitting)
        except (TypeError, ValueError) as error:
            raise UserError(f"this describes no network and images: {one_line(str(error))}") from error

    def in_folder(self, folder: Path) -> Description:
        """The same, with paths that were said from a folder."""
        return self.with_paths(lambda path: str(folder / path))

    def with_paths(self, change: Callable[[str], str]) -> Description:
        """The same, with each path of a file or a folder as `change` gives it."""
        paths = {part: getattr(self, part) for part in ("weights", "data") if getattr(self, part) not in ("", RANDOM)}
        codes = {part: Code.parse(getattr(self, part)) for part in ("model", "metric", "data")}
        said = {part: f"{change(str(code.file))}:{code.name}" for part, code in codes.items() if code is not None}
        changed = {part: change(path) for part, path in paths.items()}
        return replace(self, **cast(dict[str, Any], changed | said))


_ELSEWHERE = ("name", "data", "weights")
"""Fields of which a cell has the name, or the digest."""


def arguments_of(name: str, said: Mapping[str, Any]) -> list[str]:
    """The command line's arguments for what `canonical` says, the paths of data and weights left out."""
    named = {**said, "name": name}
    return [word for field, value in named.items() for word in (f"--{field.replace('_', '-')}", _word(value))]


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def _name_of(model: str) -> str:
    """A name from a model's: `unet-build` of `nets/unet.py:build`."""
    code = Code.parse(model)
    text = f"{code.file.stem}-{code.name}" if code is not None else model.partition(":")[2]
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64] or "own"


def _check_printable(text: str) -> None:
    try:
        check_text("it", text)
    except (TypeError, ValueError) as error:
        raise UserError(f"{text[:80]!r}: {error}") from error
