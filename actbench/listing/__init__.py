"""Listing of plugins without importing them: a child process does, and what it says is checked and cached."""

from __future__ import annotations

from actbench.listing.identify import identify
from actbench.listing.plugins import list_plugins

__all__ = ["identify", "list_plugins"]
