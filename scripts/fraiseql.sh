#!/usr/bin/env bash
# usage: fraiseql.sh VERSION
# The virtual environment .venvs/fraiseql-VERSION: that FraiseQL, what its test application needs,
# and this package as a wheel, on the CPython that FraiseQL was made for. Prints its python.
# Quick when nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A cpython=([0.5.3]=3.11 [1.9.16]=3.13)
version=$1 minor=${cpython[${1:?VERSION is missing}]:?"there is no FraiseQL ${1} here"}
name=fraiseql-$version

# Outside of the limits that PYTHONS sets for the suite: FraiseQL has one interpreter each.
interpreter=$(PYTHONS=$minor ./scripts/interpreters.sh 2>/dev/null | cut -d' ' -f2-)
if [[ -z $interpreter ]]; then
    echo "FraiseQL $version is tested on CPython $minor, which was not found" >&2
    exit 1
fi
python=$(./scripts/environment.sh "$name" "$interpreter" "$name")

sources=$(find go python/fraiseql_subscriptions build_native setup.py pyproject.toml go.mod go.sum \
    -type f ! -name '*.so' ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
if [[ ! -f .venvs/$name/sources || $(<".venvs/$name/sources") != "$sources" ]]; then
    ./scripts/install_wheel.sh "$name" "$python" >&2
    printf '%s\n' "$sources" >".venvs/$name/sources"
fi
printf '%s\n' "$python"
