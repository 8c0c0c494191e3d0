"""Names from records as names of files and folders: what could lead elsewhere is replaced by a digest."""

from __future__ import annotations

import hashlib

from actbench.info import NAME


def place(name: str) -> str:
    """The name itself where it is one that a plugin may register, else `x-` and 16 digits of its SHA-256."""
    return name if NAME.fullmatch(name) else f"x-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
