"""Prints requirements from pyproject.toml, one a line, for `pip install -r`.

usage: requirements.py [EXTRA ...]

Always: what the build needs and what the package needs at run time; then the extras named.
pip itself can install a project's dependencies only by building the project.
"""

from __future__ import annotations

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
wanted: list[str] = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
for extra in sys.argv[1:]:
    wanted += project["project"]["optional-dependencies"][extra]
print("\n".join(sorted(set(wanted))))
