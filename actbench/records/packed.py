"""Arrays of numbers in a record, packed into text without loss.

    <kind>:<count>:<least>:<base64 of the zlib stream>

`kind` `bit`, `u8`, `u16`, `u32`, `u64`: whole numbers, of which `least` is taken off, each in so many bits, bits with
the first one highest, bytes with the lowest first. `f64`: any numbers, as IEEE 754 doubles with the lowest byte first;
`least` is 0. Where a record is read, a list of numbers does as well.
"""

from __future__ import annotations

import base64
import binascii
import math
import sys
import zlib
from array import array
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, FiniteFloat, PlainSerializer, SerializationInfo, WithJsonSchema

from actbench.records.parts.part import Count, Positive

_TYPES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "f64": "d"}
_MOST = 1 << 26
"""Numbers in one array: what claims more is no record of ours."""


def pack(values: Sequence[float]) -> str:
    """The text of an array."""
    whole = _are_whole(values)
    least = int(min(values, default=0)) if whole else 0
    kind = _narrowest(int(max(values, default=0)) - least) if whole else "f64"
    numbers = [int(value) - least for value in values] if whole else list(values)
    data = base64.b64encode(zlib.compress(_to_bytes(kind, numbers), 9)).decode()
    return f"{kind}:{len(values)}:{least}:{data}"


def unpack(text: str) -> list[float] | list[int]:
    """What `pack` packed. Raises ValueError for any other text."""
    try:
        kind, count, least, data = text.split(":")
        return _from_bytes(kind, _whole(count), _whole(least), base64.b64decode(data, validate=True))
    except (binascii.Error, zlib.error, KeyError, ValueError) as error:
        raise ValueError(f"no packed array: {error}") from error


def _unpacked(value: Any) -> Any:
    return unpack(value) if isinstance(value, str) else value


def _packed(values: Sequence[float], info: SerializationInfo) -> Any:
    """Packs for JSON; `model_dump_json(context={"plain": True})` leaves lists of numbers."""
    return list(values) if info.context and info.context.get("plain") else pack(values)


_SCHEMA = {
    "anyOf": [
        {"type": "string", "pattern": r"^(bit|u8|u16|u32|u64|f64):[0-9]+:-?[0-9]+:[A-Za-z0-9+/=]*$"},
        {"type": "array", "items": {"type": "number"}},
    ]
}
_SERIALIZER = PlainSerializer(_packed, when_used="json")
Floats = Annotated[list[FiniteFloat], BeforeValidator(_unpacked), _SERIALIZER, WithJsonSchema(_SCHEMA)]
"""A field of numbers, packed in JSON."""
PositiveFloats = Annotated[list[Positive], BeforeValidator(_unpacked), _SERIALIZER, WithJsonSchema(_SCHEMA)]
"""A field of numbers above zero, packed in JSON."""
Integers = Annotated[list[Count], BeforeValidator(_unpacked), _SERIALIZER, WithJsonSchema(_SCHEMA)]
"""A field of whole numbers that are not negative, packed in JSON."""


def _narrowest(largest: int) -> str:
    if largest <= 1:
        return "bit"
    return next(kind for kind, bits in (("u8", 8), ("u16", 16), ("u32", 32), ("u64", 64)) if largest < 1 << bits)


def _to_bytes(kind: str, numbers: Sequence[float]) -> bytes:
    if kind == "bit":
        bits = "".join("1" if value else "0" for value in numbers)
        return int(bits.ljust(-len(bits) % 8 + len(bits), "0") or "0", 2).to_bytes((len(bits) + 7) // 8, "big")
    packed = array(_TYPES[kind], numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _from_bytes(kind: str, count: int, least: int, data: bytes) -> list[float] | list[int]:
    if not 0 <= count <= _MOST:
        raise ValueError(f"{count} numbers")
    size = -(-count // 8) if kind == "bit" else count * array(_TYPES[kind]).itemsize
    stream = zlib.decompressobj()
    raw = stream.decompress(data, size + 1)
    if len(raw) != size or not stream.eof:
        raise ValueError(f"{count} numbers are claimed, others are there")
    if kind == "bit":
        bits = bin(int.from_bytes(b"\1" + raw, "big"))[3 : 3 + count]
        return [int(bit) + least for bit in bits]
    numbers = array(_TYPES[kind])
    numbers.frombytes(raw)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist() if kind == "f64" or least == 0 else [int(value) + least for value in numbers]


def _whole(text: str) -> int:
    if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 20:
        raise ValueError(f"{text[:20]!r} is no whole number")
    return int(text)


def _are_whole(values: Sequence[float]) -> bool:
    """Whether all are whole numbers that a double has, none of them −0.0."""
    if set(map(type, values)) == {int}:
        return min(values) > -(2**53) and max(values) < 2**53
    return all(float(value).is_integer() and not _negative_zero(value) and abs(value) < 2**53 for value in values)


def _negative_zero(value: float) -> bool:
    return value == 0 and math.copysign(1, value) < 0
