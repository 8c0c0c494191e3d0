"""Listing of plugins without importing them: a child process does, and what it says is checked and cached."""
