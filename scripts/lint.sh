#!/usr/bin/env bash
# Every check that reads the code without running it; all of them run, whichever fail.
# Needs .venvs/dev (scripts/develop.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/.venvs/dev/bin/python

# The packages with Python.h in them are compiled for vet and staticcheck too.
include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
export CGO_CFLAGS="-O2 -I$include"

failed=()
check() {
    echo "--- $1"
    "${@:2}" || failed+=("$1")
}

formatted() {
    local files
    files=$(CGO_ENABLED=0 go tool gofumpt -l go benchmarks) && [[ -z $files ]] && return
    printf 'not formatted (make format): %s\n' "$files" >&2
    return 1
}

check "gofumpt" formatted
check "go vet" go vet ./go/... ./benchmarks/...
check "staticcheck" go tool staticcheck ./go/... ./benchmarks/...
check "ruff" "$python" -m ruff check .
check "ruff format" "$python" -m ruff format --check .
check "mypy --strict" "$python" -m mypy
check "mypy --strict: the tests" "$python" -m mypy tests/unit tests/integration tests/support
check "mypy --strict: the tests with clients" "$python" -m mypy tests/clients tests/support
check "mypy --strict: the tests with FraiseQL" "$python" -m mypy tests/fraiseql
check "stubtest: _native.pyi is true of the built module" \
    "$python" -m mypy.stubtest fraiseql_subscriptions._native

if ((${#failed[@]})); then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
