"""Records that lost a part, or have one too many, and files that are none."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.attacks.attempt import Kind, together
from tests.attacks.beside_good import MOST, WHOLE, Writing, check_beside_good
from tests.records import whole
from tests.records.test_damaged import DAMAGED_TEXT

Text = Callable[[str], str]


def attempts(chance: random.Random) -> Mapping[str, tuple[str, Writing]]:
    """Of both tracks: texts that are cut, and in which bits, bytes and fields are changed; and what is no file."""
    made: dict[str, tuple[str, Writing]] = {}
    for track in WHOLE:
        for number in range(34):
            made[f"{track} cut {number}"] = track, cut(chance.random())
            made[f"{track} bit {number}"] = track, flipped(chance.random(), chance.randrange(8))
        for number in range(16):
            made[f"{track} byte {number}"] = track, inserted(chance.random(), chance.randrange(256))
            made[f"{track} without bytes {number}"] = track, without(chance.random(), chance.randrange(1, 40))
        for path in chance.sample(sorted(whole.paths_in(WHOLE[track]()), key=repr), 20):
            made[f"{track} without {path}"] = track, dropped(path)
        for number, (damage, _) in enumerate(DAMAGED_TEXT):
            made[f"{track} text {number}"] = track, as_text(damage)
    return made | {name: ("inference", writing) for name, writing in NO_FILES.items()}


def cut(share: float) -> Writing:
    return as_bytes(lambda content: content[: int(share * len(content))])


def flipped(share: float, bit: int) -> Writing:
    def change(content: bytes) -> bytes:
        place = int(share * len(content))
        return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]

    return as_bytes(change)


def inserted(share: float, byte: int) -> Writing:
    def change(content: bytes) -> bytes:
        place = int(share * len(content))
        return content[:place] + bytes([byte]) + content[place:]

    return as_bytes(change)


def without(share: float, count: int) -> Writing:
    def change(content: bytes) -> bytes:
        place = int(share * len(content))
        return content[:place] + content[place + count :]

    return as_bytes(change)


def dropped(path: tuple[Any, ...]) -> Writing:
    def write(target: Path, data: dict[str, Any]) -> None:
        part: Any = data
        for name in path[:-1]:
            part = part[name]
        del part[path[-1]]
        target.write_text(json.dumps(data))

    return write


def as_text(change: Text) -> Writing:
    return lambda target, data: target.write_text(change(json.dumps(data)))


def as_bytes(change: Callable[[bytes], bytes]) -> Writing:
    return lambda target, data: target.write_bytes(change(json.dumps(data).encode()))


def renamed(name: str) -> Writing:
    def write(target: Path, data: dict[str, Any]) -> None:
        target.with_name(name.format(key=data["key"])).write_text(json.dumps(data))

    return write


NO_FILES: dict[str, Writing] = {
    "a pipe": lambda target, data: os.mkfifo(target),
    "a folder": lambda target, data: target.mkdir(),
    "a folder with a record": lambda target, data: (target.mkdir(), (target / "a.json").write_text(json.dumps(data))),
    "a device": lambda target, data: target.symlink_to("/dev/zero"),
    "a terminal": lambda target, data: target.symlink_to("/dev/tty"),
    "a link to nothing": lambda target, data: target.symlink_to("nowhere"),
    "a link to itself": lambda target, data: target.symlink_to(target.name),
    "a link to a folder": lambda target, data: target.symlink_to("."),
    "memory of the process": lambda target, data: target.symlink_to("/proc/self/mem"),
    "another attempt": renamed("{key}-2.json"),
    "a gigabyte of nothing": lambda target, data: (target.touch(), os.truncate(target, 1 << 30)),
    "UTF-16": lambda target, data: target.write_text(json.dumps(data), "utf-16"),
}

DAMAGED = Kind("damaged records", 264, attempts, together(check_beside_good, MOST))
