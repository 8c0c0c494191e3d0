"""What is where in the user's data: images, their targets, and the two parts of both. No torch, and no image is
opened."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from actbench.errors import UserError
from actbench.workloads.classes import class_names as class_folders
from actbench.workloads.classes import images_of, is_image
from actbench.workloads.files import file_digest, folder_digest
from actbench.workloads.own.code import Code
from actbench.workloads.own.table import Entry, read_table
from actbench.workloads.own.tasks import Task

Form = Literal["code", "arrays", "table", "pairs", "classes"]
Part = Literal["train", "test"]

PARTS: dict[Part, tuple[str, ...]] = {"train": ("train",), "test": ("test", "val")}
"""What the two parts of the data may be called, the first that is there."""

TABLE = "labels.csv"
IMAGES, LABELS = "images", "labels"

LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm", ".webp")
"""What a target that is an image may be, in the order in which it is looked for."""

_FORMS: dict[Task, tuple[Form, ...]] = {
    "classification": ("classes", "table", "arrays", "code"),
    "segmentation": ("pairs", "table", "arrays", "code"),
    "depth": ("pairs", "table", "arrays", "code"),
    "restoration": ("pairs", "table", "arrays", "code"),
    "regression": ("table", "arrays", "code"),
}

_WORDS: dict[Form, str] = {
    "classes": "folders train/<class>/ and test/<class>/",
    "table": f"a folder with {TABLE} (file,label,split)",
    "pairs": f"folders train/{IMAGES}/, train/{LABELS}/, test/{IMAGES}/ and test/{LABELS}/",
    "arrays": "a file .npz",
    "code": "FILE.py:NAME",
}


class Sample(NamedTuple):
    """An image's file, and its target: the file of one, a class, or numbers."""

    image: str
    target: str | int | tuple[float, ...]


@dataclass(frozen=True)
class Layout:
    """What is where in the data. `names`: of the classes, in the order of the network's outputs; none where they are
    the data's own."""

    data: str
    form: Form
    task: Task
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: str, task: Task, names: tuple[str, ...] = ()) -> Layout:
        """The layout of some data. Raises UserError where there are none, or none that a task can use."""
        layout = cls(data, _form(data), task, names)
        if layout.form not in _FORMS[task]:
            wanted = "; ".join(_WORDS[form] for form in _FORMS[task])
            raise UserError(f"--data {data}: {_WORDS[layout.form]} are not for {task}, which wants {wanted}")
        return layout

    @property
    def folder(self) -> Path:
        """The folder, or the file, that holds the data."""
        code = Code.parse(self.data)
        return Path(self.data) if code is None else code.file

    def digest(self) -> str:
        """The digest of the data; of `FILE.py:NAME`, of its code. Raises UserError where a part is missing."""
        if (code := Code.parse(self.data)) is not None:
            return code.digest()
        if self.form == "arrays":
            return f"sha256:{file_digest(self.folder)}"
        assert self._parts
        return f"sha256:{folder_digest(self.folder)}"

    @property
    def classes(self) -> int | None:
        """How many classes there are; None where only the images say so."""
        if self.names:
            return len(self.names)
        if self.form == "classes":
            return len(class_folders(self.folder / self._part_folder("train").name))
        if self.form == "table" and self.task == "classification":
            return 1 + max(int(str(sample.target)) for samples in self._parts.values() for sample in samples)
        return None

    def samples(self, part: Part) -> Sequence[Sample]:
        """The images of a part with their targets, in a fixed order. Raises UserError where there is none, where
        one has no target, or a class that is none."""
        return self._parts[part]

    @cached_property
    def _parts(self) -> dict[Part, list[Sample]]:
        """Both parts, so that what is wrong with either is known before anything is measured."""
        ways = {"classes": self._of_classes, "table": self._of_table, "pairs": self._of_pairs}
        return {part: ways[self.form](part) for part in PARTS}

    def _part_folder(self, part: Part) -> Path:
        for name in PARTS[part]:
            if (self.folder / name).is_dir():
                return self.folder / name
        raise UserError(f"--data {self.data} has no folder {' or '.join(PARTS[part])}: add it")

    def _of_classes(self, part: Part) -> list[Sample]:
        folder = self._part_folder(part)
        classes = class_folders(folder)
        names = self.names or tuple(class_folders(self._part_folder("train")))
        return [
            Sample(str(image), _class_of(name, names, str(folder / name)))
            for name in classes
            for image in images_of(folder / name)
        ]

    @cached_property
    def _table(self) -> list[Entry]:
        return read_table(self.folder / TABLE)

    def _of_table(self, part: Part) -> list[Sample]:
        splits = {row.split for row in self._table}
        split = next((name for name in PARTS[part] if name in splits), None)
        if split is None:
            raise UserError(f"{self.folder / TABLE} has no row of the split {' or '.join(PARTS[part])}")
        rows = [row for row in self._table if row.split == split]
        if self.task == "regression":
            _check_alike(rows)
        return [Sample(str(self._file(row.file, row)), self._label(row)) for row in rows]

    def _label(self, row: Entry) -> str | int | tuple[float, ...]:
        if self.task == "classification":
            return row.number if row.number is not None else _class_of(row.label, self._names, row.place)
        if self.task == "regression":
            return row.numbers()
        return str(self._file(row.label, row, f"for {self.task} a label is the file of an image or of an array"))

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """The names of classes in the order of the outputs: as they were given, or those of the table, sorted."""
        return self.names or tuple(sorted({row.label for row in self._table}))

    def _file(self, name: str, row: Entry, wanted: str = "add it, or remove the row") -> Path:
        for path in (self.folder / name, self.folder / IMAGES / name):
            if path.is_file():
                return path
        raise UserError(f"{row.place}: there is no file {name}; {wanted}")

    def _of_pairs(self, part: Part) -> list[Sample]:
        images, labels = self._pair_folders(part)
        found = sorted(path for path in images.iterdir() if is_image(path.name))
        if not found:
            raise UserError(f"no images in {images}: add some, or remove the folder")
        return [Sample(str(image), str(_label_of(image, labels))) for image in found]

    def _pair_folders(self, part: Part) -> tuple[Path, Path]:
        for name in PARTS[part]:
            for ways in ((f"{name}/{IMAGES}", f"{name}/{LABELS}"), (f"{IMAGES}/{name}", f"{LABELS}/{name}")):
                images, labels = (self.folder / way for way in ways)
                if images.is_dir() and labels.is_dir():
                    return images, labels
        raise UserError(
            f"--data {self.data} has no {PARTS[part][0]}/{IMAGES}/ with {PARTS[part][0]}/{LABELS}/: add them"
        )


def _form(data: str) -> Form:
    if Code.parse(data) is not None:
        return "code"
    folder = Path(data)
    if folder.is_file() and folder.suffix == ".npz":
        if not zipfile.is_zipfile(folder):
            raise UserError(f"--data {data} is damaged: it is no archive of arrays")
        return "arrays"
    if not folder.is_dir():
        raise UserError(f"--data {data}: there is no such folder; give a folder, a file .npz or FILE.py:NAME")
    if (folder / TABLE).is_file():
        return "table"
    pairs = (folder / part / IMAGES for part in ("train", "test", "val"))
    return "pairs" if (folder / IMAGES).is_dir() or any(map(Path.is_dir, pairs)) else "classes"


def _check_alike(rows: Sequence[Entry]) -> None:
    """Raises UserError where a row has fewer numbers than the first, or more."""
    wanted = len(rows[0].numbers())
    for row in rows:
        if len(row.numbers()) != wanted:
            raise UserError(f"{row.place}: {len(row.numbers())} numbers, and {wanted} in the first row")


def _class_of(name: str, names: Sequence[str], place: str) -> int:
    if name in names:
        return names.index(name)
    some = ", ".join([*names[:5], *(["…"] if len(names) > 5 else [])])
    raise UserError(f"{place}: class {name!r} is none of the {len(names)} classes {some}")


def _label_of(image: Path, labels: Path) -> Path:
    for suffix in LABEL_SUFFIXES:
        if (path := labels / f"{image.stem}{suffix}").is_file():
            return path
    raise UserError(f"image {image} has no label {labels / image.stem}{LABEL_SUFFIXES[0]}: add it, or remove the image")
