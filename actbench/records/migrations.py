"""Records of earlier formats, read as if they had been written in today's.

Format 1 had arrays of numbers as lists; its verifications name the digest of the record as it was written then.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pydantic_core

from actbench.records.record import FORMAT


def migrate(data: Any) -> Any:
    """A record's JSON in today's format. What is no record of a known format is handed on as it is, to be refused."""
    if isinstance(data, dict) and data.get("format") == 1:
        return data | {"format": FORMAT}
    return data


def digest_of_format_1(data: Any) -> str:
    """The digest of a record, its JSON in format 1: SHA-256 of that JSON without white space."""
    return hashlib.sha256(pydantic_core.to_json(data)).hexdigest()
