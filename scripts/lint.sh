#!/usr/bin/env bash
# Every check that reads the code without running it. Needs .venvs/dev (scripts/develop.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/.venvs/dev/bin/python

# The packages with Python.h in them are compiled for vet and staticcheck too.
include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
export CGO_CFLAGS="-O2 -I$include"

step() { echo "--- $*"; }

step gofumpt
unformatted=$(CGO_ENABLED=0 go tool gofumpt -l go)
if [[ -n $unformatted ]]; then
    echo "not formatted (make format):" >&2
    printf '%s\n' "$unformatted" >&2
    exit 1
fi
step go vet
go vet ./go/...
step staticcheck
go tool staticcheck ./go/...
step ruff
"$python" -m ruff check .
"$python" -m ruff format --check .
step mypy --strict
"$python" -m mypy
step "stubtest (python/fraiseql_subscriptions/_native.pyi against the built module)"
"$python" -m mypy.stubtest fraiseql_subscriptions._native
