#!/usr/bin/env bash
# usage: environment.sh NAME PYTHON [EXTRA ...]
# Makes or brings up to date the virtual environment .venvs/NAME with the build's and the
# package's requirements and those of the extras, and prints its python. The package itself
# is installed by the caller. Quick when nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."
name=$1 python=$2
shift 2

folder=.venvs/$name
if ! [[ -x $folder/bin/python && $("$folder/bin/python" -c 'import os, sys; print(os.path.realpath(sys.executable))') == "$(realpath "$python")" ]]; then
    rm -rf "$folder"
    "$python" -m venv "$folder"
fi
# Extras add up: an environment is never robbed of what another target put there.
touch "$folder/extras"
extras=$(printf '%s\n' "$@" | sort -u - "$folder/extras" | sed '/^$/d')
# shellcheck disable=SC2086  (one word per extra)
"$folder/bin/python" scripts/requirements.py $extras >"$folder/wanted.txt"
if ! cmp -s "$folder/wanted.txt" "$folder/installed.txt"; then
    "$folder/bin/python" -m pip install -q --disable-pip-version-check -r "$folder/wanted.txt" >&2
    cp "$folder/wanted.txt" "$folder/installed.txt"
    printf '%s\n' "$extras" >"$folder/extras"
fi
printf '%s\n' "$PWD/$folder/bin/python"
