"""The method and the budget that a user named, or made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actbench.budget import Bits, Budget, Ceiling
from actbench.codec.method import Method
from actbench.errors import UserError
from actbench.info import OptionValue, Track, load_target
from actbench.registry import load_plugins


@dataclass(frozen=True)
class Chosen:
    """A method, its name, and whether its bits depend on the data, so that codes of its own count as gain."""

    method: Method
    name: str
    data_dependent: bool


def choose_method(method: str | Method, options: Mapping[str, OptionValue], track: Track) -> Chosen:
    """The installed method of a name, with options, or one that is there already. Raises UserError for an unknown name
    or option, and for a method of another track."""
    if isinstance(method, Method):
        if options:
            raise UserError("options belong to a method's name; a method that is made already has its own")
        return Chosen(method, type(method).__name__, data_dependent=False)
    info = load_plugins().method(method)
    if track not in info.tracks:
        raise UserError(f"method {method} is not for {track}; its tracks: {', '.join(info.tracks)}")
    made: Method = load_target(info.target)(info.resolve(options))
    return Chosen(made, method, info.guarantee == "data-dependent")


def read_budget(ceiling: str | Ceiling, bits: str | Bits) -> Budget:
    """Reads ceiling and bits as the command line does, where they are text."""
    read = Bits.parse(bits) if isinstance(bits, str) else bits
    return Budget(Ceiling.parse(ceiling) if isinstance(ceiling, str) else ceiling, read)
