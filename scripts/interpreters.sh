#!/usr/bin/env bash
# Prints the CPythons (3.10 or newer) of this machine, one "3.12 /path/to/python" per minor
# version, oldest first. Looks in pyenv's versions, then along PATH. An interpreter that
# cannot be used is named on standard error with the reason. PYTHONS="3.12 3.13" limits the
# choice. Exits with 1 when there is none.
set -euo pipefail

probe='
import importlib.util, os, sys, sysconfig
version = sys.version_info
if sys.implementation.name != "cpython" or version < (3, 10) or sys.prefix != sys.base_prefix:
    sys.exit(0)
missing = None
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    missing = "it is a free-threaded build"
elif not os.path.isfile(os.path.join(sysconfig.get_path("include"), "Python.h")):
    missing = "its headers (Python.h) are not installed"
elif any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
    missing = "it cannot make virtual environments (venv, ensurepip)"
if missing:
    print(f"note: {sys.executable} is not used: {missing}", file=sys.stderr)
else:
    print(f"{version.major}.{version.minor} {os.path.realpath(sys.executable)}")
'

candidates() {
    local folder
    for folder in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*; do
        [[ -x $folder/bin/python3 ]] && printf '%s\n' "$folder/bin/python3"
    done | sort -rV # the newest patch release of each first
    local IFS=:
    for folder in $PATH; do
        for name in "$folder"/python3 "$folder"/python3.1[0-9]; do
            [[ -x $name && $folder != */shims ]] && printf '%s\n' "$name"
        done
    done
    return 0
}

found=$(
    while read -r candidate; do
        "$candidate" -I -c "$probe" || true
    done < <(candidates | awk '!seen[$0]++') |
        awk '!seen[$1]++' | sort -V
)
if [[ -n ${PYTHONS:-} ]]; then
    found=$(awk -v wanted=" $PYTHONS " 'index(wanted, " " $1 " ")' <<<"$found")
fi
if [[ -z $found ]]; then
    echo "No CPython 3.10 or newer with headers and venv${PYTHONS:+ among $PYTHONS} was found." >&2
    exit 1
fi
printf '%s\n' "$found"
