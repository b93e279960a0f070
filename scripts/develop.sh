#!/usr/bin/env bash
# usage: develop.sh [EXTRA ...]
# The developer's environment .venvs/dev: newest interpreter, editable install, native module
# built into python/. Prints its python. A change in Go takes seconds, none less than one.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$(./scripts/interpreters.sh 2>/dev/null | tail -n 1 | cut -d' ' -f2-)
python=$(./scripts/environment.sh dev "$python" "$@")
if ! [[ .venvs/dev/editable -nt pyproject.toml && .venvs/dev/editable -nt setup.py ]]; then
    "$python" -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e . >&2
    touch .venvs/dev/editable
fi
"$python" -m build_native >/dev/null
printf '%s\n' "$python"
