"""Builds the package in a folder of its own; all else is said in pyproject.toml."""

from tempfile import TemporaryDirectory

from setuptools import setup
from setuptools.command.build import build


class Build(build):
    """A build that begins empty: from build/, where setuptools leaves its files, stale ones would be packaged."""

    def initialize_options(self) -> None:
        """Takes a temporary folder, which goes with this process."""
        super().initialize_options()
        self._folder = TemporaryDirectory()
        self.build_base = self._folder.name


setup(cmdclass={"build": Build})
