"""Isolation: a method runs in a process of its own, and reaches neither another method's row nor evaluation data."""
