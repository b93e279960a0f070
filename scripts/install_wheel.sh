#!/usr/bin/env bash
# usage: install_wheel.sh NAME PYTHON
# Builds a wheel with PYTHON, one of .venvs/, and installs it there: tests run against what
# users install, never against the source tree. The wheel stays in build/wheels/NAME.
set -euo pipefail
cd "$(dirname "$0")/.."
name=$1 python=$2

# setuptools keeps files of earlier builds here and would pack those deleted since.
rm -rf build/lib* build/bdist* "build/wheels/$name"
"$python" -m pip wheel -q --disable-pip-version-check --no-build-isolation --no-deps \
    -w "build/wheels/$name" .
"$python" -m pip install -q --disable-pip-version-check --no-deps --force-reinstall \
    "build/wheels/$name"/*.whl
