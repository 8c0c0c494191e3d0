"""Packages for plugin authors to begin with: written from templates, and working as written."""
