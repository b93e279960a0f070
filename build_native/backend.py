"""The build backend named in pyproject.toml: setuptools', with the machine checked first.

The hook that asks for requirements is the first that runs, so a missing Go is one line
there, not the end of a page of setuptools' progress.
"""

from __future__ import annotations

from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  (the hooks that stay as they are)

from build_native import toolchain


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    toolchain.check()
    return build_meta.get_requires_for_build_wheel(config_settings)


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    toolchain.check()
    return build_meta.get_requires_for_build_editable(config_settings)
