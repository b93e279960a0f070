#!/usr/bin/env bash
# Builds a wheel for every CPython of this machine and puts them in dist/.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p dist
interpreters=$(./scripts/interpreters.sh)
while read -r version path; do
    python=$(./scripts/environment.sh "$version" "$path" </dev/null)
    ./scripts/install_wheel.sh "$version" "$python" </dev/null
    cp "build/wheels/$version"/*.whl dist/
done <<<"$interpreters"
ls dist
