#!/usr/bin/env bash
# usage: prerequisites.sh [servers]
# Makes sure that Go, a C compiler and a CPython are here, and with "servers" the servers that tests
# and benchmarks start for themselves. What Debian packages is installed when that is possible (root
# on Debian or Ubuntu); anything else missing is named, at once.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
packages=()
need() { missing+=("$1") && packages+=("${@:2}"); }

wanted=$(awk '$1 == "go" { split($2, v, "."); print v[1] "." v[2] }' go.mod)
go_missing="Go $wanted or newer (from Go's own download page)"
if ! command -v go >/dev/null; then
    need "$go_missing"
else
    found=$(cd / && GOTOOLCHAIN=${GOTOOLCHAIN:-local} go env GOVERSION)
    oldest=$(printf '%s\n%s\n' "$wanted" "${found#go}" | sort -V | head -n 1)
    [[ $oldest == "$wanted" ]] || need "$go_missing; $(command -v go) is $found"
fi
compiler=${CC:-gcc}
command -v "${compiler%% *}" >/dev/null || need "a C compiler (${compiler%% *})" gcc libc6-dev
./scripts/interpreters.sh >/dev/null 2>&1 ||
    need "CPython 3.10 or newer with headers and venv" python3 python3-dev python3-venv
if [[ ${1:-} == servers ]]; then
    # Debian keeps PostgreSQL's programs out of the PATH.
    PATH=$PATH:$(printf '%s:' /usr/lib/postgresql/*/bin)
    command -v redis-server >/dev/null && command -v redis-cli >/dev/null || need "redis-server and redis-cli" redis-server redis-tools
    command -v postgres >/dev/null && command -v initdb >/dev/null || need "PostgreSQL's postgres and initdb" postgresql
    command -v pgbouncer >/dev/null || need "pgbouncer" pgbouncer
    if ! command -v node >/dev/null; then
        need "Node 18 or newer" nodejs
    elif (($(node -p 'process.versions.node.split(".")[0]') < 18)); then
        need "Node 18 or newer; $(command -v node) is $(node --version)"
    fi
    command -v npm >/dev/null || need "npm" npm
    command -v chromium >/dev/null || need "chromium" chromium
fi

if ((${#packages[@]})) && [[ $EUID == 0 ]] && command -v apt-get >/dev/null; then
    echo "==> apt-get install ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -qy --no-install-recommends "${packages[@]}"
    exec "$0" "$@"
fi
if ((${#missing[@]})); then
    echo "This machine misses what the project is built and tested with:" >&2
    printf '  - %s\n' "${missing[@]}" >&2
    if ((${#packages[@]})); then
        echo "On Debian or Ubuntu: apt-get install ${packages[*]}" >&2
    fi
    exit 1
fi
