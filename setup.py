"""The part of the packaging that pyproject.toml cannot say: how the native module is built."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

sys.path.insert(0, str(Path(__file__).resolve().parent))

from build_native import MODULE, library


class BuildNative(build_ext):
    """Builds the one extension module with Go in place of setuptools' compiler.

    In place (editable installs) the path is the one in python/, otherwise under build/.
    """

    def run(self) -> None:
        for extension in self.extensions:
            library.build(Path(self.get_ext_fullpath(extension.name)))


setup(ext_modules=[Extension(MODULE, sources=[])], cmdclass={"build_ext": BuildNative})
