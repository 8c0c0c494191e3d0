"""The settings of a track. Each is said once, beside its field: its default, what it is called in a cell's canonical
form, how it is worded for people, on the command line and in tables, and whose rows it changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, TypeVar, cast

from typing_extensions import override

from actbench.errors import UserError
from actbench.feature_map import Maps
from actbench.info import Role, Track
from actbench.recipe import RecipeName

Division = Literal["closed", "open"]
Normalisation = Literal["quantised", "exact", "recomputed"]
"""Training track: what is kept of a batch normalisation's input: 8 bits a value, all of it, or nothing."""

OnOff = Literal["on", "off"]
PlainMapsChoice = Literal["rule", "never"]
Arithmetic = Literal["fp32", "int8"]
"""Numbers in which the deployed form convolves: fp32, or integers where it reads plain codes of at most 8 bits."""

_ROWS = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)

Kind = TypeVar("Kind", bound="TrackSettings")


@dataclass(frozen=True)
class Wording:
    """What is said of one setting. `key`: its name in the canonical form, where it goes without saying at its default
    unless it is `stated`; or at `unsaid`, the value of all cells from before there was the setting. `column`: its name
    in tables. `title`: for people, empty where there is nothing to say. `roles`: the methods that have the choice; for
    all others it is at its default."""

    argument: str
    help: str
    key: str
    column: str
    title: Callable[[Any], str] = lambda value: ""
    stated: bool = False
    unsaid: str | None = None
    roles: tuple[Role, ...] = ("method", "baseline", "reference")


def _said(argument: str, explanation: str, **more: Any) -> dict[str, Wording]:
    """A field's metadata. Key and column are the argument's name unless `more` says otherwise."""
    name = argument.removeprefix("--")
    return {"wording": Wording(argument, explanation, **{"key": name, "column": name, **more})}


@dataclass(frozen=True)
class TrackSettings:
    """What the settings of every track can do. A track is a frozen dataclass of them."""

    track: ClassVar[Track]

    @property
    def training_steps(self) -> int:
        """Steps for which the network is trained once codecs are in place."""
        raise NotImplementedError

    @property
    def division(self) -> Division:
        """The division: `open` where the network is trained once codecs are in place."""
        return "open" if self.training_steps else "closed"

    @property
    def title(self) -> str:
        """All settings for people, separated by commas: `inference, open (200 steps)`."""
        return ", ".join(filter(None, (wording.title(value) for wording, value, _ in self._worded())))

    def canonical(self) -> dict[str, Any]:
        """Plain JSON values in a fixed form: the part of a cell's canonical form that is of its track."""
        said = {part.name: _wording(part) for part in fields(self) if self._is_said(part)}
        worded = {wording.key: getattr(self, name) for name, wording in said.items()}
        return {"track": self.track, "division": self.division} | worded

    def _is_said(self, part: Field[Any]) -> bool:
        return _wording(part).stated or getattr(self, part.name) != _unsaid(part)

    def arguments(self) -> list[str]:
        """The command line's arguments that give these settings, the defaults left out."""
        track = [] if self.track == "inference" else ["--track", self.track]
        given = (_given(wording.argument, value) for wording, value, chosen in self._worded() if chosen)
        return [*track, *(word for words in given for word in words)]

    def columns(self) -> dict[str, Any]:
        """Values for tables, by the column's name."""
        return {wording.column: value for wording, value, _ in self._worded()}

    def of_role(self: Kind, role: Role) -> Kind:
        """The same settings for a method of this role: what is no choice of its kind is at its default."""
        kept = {part.name: part.default for part in fields(self) if role not in _wording(part).roles}
        return replace(self, **kept)

    @classmethod
    def wordings(cls) -> dict[str, Wording]:
        """What is said of each setting, by the field's name."""
        return {part.name: _wording(part) for part in fields(cls)}

    @classmethod
    def from_canonical(cls: type[Kind], data: Mapping[str, Any]) -> Kind:
        """The settings that `canonical` describes."""
        return cls(**{part.name: data.get(_wording(part).key, _unsaid(part)) for part in fields(cls)})

    def _worded(self) -> list[tuple[Wording, Any, bool]]:
        """For each setting what is said of it, its value, and whether that is not the default."""
        values = [(part, getattr(self, part.name)) for part in fields(self)]
        return [(_wording(part), value, value != part.default) for part, value in values]


def _given(argument: str, value: object) -> list[str]:
    """An argument with its value; one that switches something on has none."""
    return [argument] if value is True else [argument, str(value)]


def _wording(part: Field[Any]) -> Wording:
    wording: Wording = part.metadata["wording"]
    return wording


def _unsaid(part: Field[Any]) -> Any:
    """The value of a setting that the canonical form does not name."""
    unsaid = _wording(part).unsaid
    return part.default if unsaid is None else unsaid


@dataclass(frozen=True)
class Inference(TrackSettings):
    """The inference track. `recover`: steps of recovery (the open division), 0 for calibration alone (the closed one).
    `recipe`: how the steps are taken, as the protocol says for all or as a method's authors say. `maps`: which tensors
    are compressed."""

    track: ClassVar[Track] = "inference"

    recover: int = field(
        default=0,
        metadata=_said(
            "--recover",
            "Steps of recovery (open division), or of training.",
            column="steps",
            title=lambda steps: f"inference, open ({steps} steps)" if steps else "inference, closed",
            stated=True,
        ),
    )
    recipe: RecipeName = field(
        default="protocol",
        metadata=_said(
            "--recipe",
            "Recovery as the protocol says for all, or as each method's authors do.",
            title=lambda name: "" if name == "protocol" else "papers' recipes",
            roles=("method",),
        ),
    )
    maps: Maps = field(
        default="live",
        metadata=_said(
            "--maps",
            "Maps: all that is in memory while a layer computes, or what convolutions read.",
            title=lambda maps: "" if maps == "live" else "what convolutions read",
            unsaid="conv-inputs",
        ),
    )
    stripe: str = field(
        default="auto",
        metadata=_said(
            "--stripe",
            "Rows that the deployed form computes at a time: auto, a number, or off for whole maps.",
            title=lambda rows: {"auto": "", "off": "whole maps"}.get(rows, f"stripes of {rows} rows"),
            roles=("method", "baseline"),
        ),
    )
    fit: OnOff = field(
        default="on",
        metadata=_said(
            "--fit",
            "The help that every method gets alike: on keeps what helps on calibration images; off is the bare method.",
            title=lambda fit: "" if fit == "on" else "bare methods",
            roles=("method", "baseline"),
        ),
    )
    plain: PlainMapsChoice = field(
        default="rule",
        metadata=_said(
            "--plain",
            "Maps in plain codes: where they are no worse than the method's, or never in its place.",
            title=lambda plain: "" if plain == "rule" else "no plain maps",
            roles=("method", "baseline"),
        ),
    )
    compute: Arithmetic = field(
        default="fp32",
        metadata=_said(
            "--compute",
            "Numbers in which the deployed form convolves: fp32, or int8 where it reads codes of at most 8 bits.",
            title=lambda numbers: "" if numbers == "fp32" else f"convolutions in {numbers}",
            roles=("method", "baseline"),
        ),
    )
    compile: bool = field(
        default=False,
        metadata=_said(
            "--compile",
            "Time the deployed form compiled, too, beside the compiled fp32 network; needs a C++ compiler.",
            title=lambda compiled: "compiled too" if compiled else "",
            roles=("method", "baseline"),
        ),
    )

    def __post_init__(self) -> None:
        if self.recipe == "paper" and not self.recover:
            raise UserError("--recipe paper says how to train: give a number of steps with --recover")
        if self.stripe not in ("auto", "off") and not _ROWS.fullmatch(self.stripe):
            raise UserError(f"--stripe {self.stripe!r}: give a number of rows, auto or off")

    @property
    def rows(self) -> int | Literal["auto", "off"]:
        """Rows of a stripe, as the runtime takes them."""
        return int(self.stripe) if self.stripe.isdecimal() else cast("Literal['auto', 'off']", self.stripe)

    @property
    @override
    def training_steps(self) -> int:
        return self.recover


@dataclass(frozen=True)
class Training(TrackSettings):
    """The training track. `steps` of training; of the network's convolutions the `last` so many are trained, all for
    None; `normalisation` is what is kept of normalisations' inputs."""

    track: ClassVar[Track] = "training"

    steps: int = field(default=0, metadata=_said("--recover", "Steps of training.", column="steps", stated=True))
    last: int | None = field(
        default=None, metadata=_said("--last", "Training: how many of the last convolutions, or all.")
    )
    normalisation: Normalisation = field(
        default="quantised",
        metadata=_said(
            "--normalisation",
            "Training: how inputs of normalisations are kept.",
            title=lambda kept: "" if kept == "quantised" else f"normalisations {kept}",
            roles=("method", "baseline"),
        ),
    )

    def __post_init__(self) -> None:
        if not self.steps:
            raise UserError("--track training: give a number of steps with --recover")

    @property
    @override
    def training_steps(self) -> int:
        return self.steps

    @property
    @override
    def title(self) -> str:
        layers = "all" if self.last is None else f"last {self.last}"
        return ", ".join(filter(None, ["training", f"{layers} layers ({self.steps} steps)", super().title]))


Settings = Inference | Training
TRACKS: Mapping[Track, type[Settings]] = {"inference": Inference, "training": Training}
"""The settings of each track."""


def settings_of(track: Track, given: Mapping[str, Any]) -> Settings:
    """The settings of a track, from values of the settings of all tracks by their arguments, `{"--recover": 200, …}`.
    Raises UserError for a setting that only another track has, and that is not at its default."""
    kind = TRACKS[track]
    arguments = {name: said.argument for name, said in kind.wordings().items()}
    for other in TRACKS.values():
        for part in fields(other):
            argument = _wording(part).argument
            if argument not in arguments.values() and given[argument] != part.default:
                raise UserError(f"{argument} goes with --track {other.track}")
    return kind(**{name: given[argument] for name, argument in arguments.items()})


def settings_from_canonical(data: Mapping[str, Any]) -> Settings:
    """The settings that a cell's canonical form describes."""
    kind: type[Settings] = TRACKS[data["track"]]
    return kind.from_canonical(data)
