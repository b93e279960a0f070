#!/usr/bin/env bash
# Prints the Go packages whose tests can run: all but those that include Python.h, directly
# or through a package they import, because only an interpreter has Python's symbols. Those
# are named on standard error, and it is an error if one of them has Go tests.
set -euo pipefail
cd "$(dirname "$0")/.."

listing=$(go list -f '{{.ImportPath}}|{{.Dir}}|{{join .Deps " "}}|{{len .TestGoFiles}}{{len .XTestGoFiles}}' ./go/... ./benchmarks/...)

declare -A python
while IFS='|' read -r path folder _; do
    if grep -qs 'include <Python.h>' "$folder"/*.go "$folder"/*.c "$folder"/*.h; then
        python[$path]=1
    fi
done <<<"$listing"

status=0
count=0
while IFS='|' read -r path _ dependencies tests; do
    reason=${python[$path]:+it includes Python.h}
    for dependency in $dependencies; do
        if [[ -n ${python[$dependency]:-} ]]; then
            reason=${reason:-"it imports ${dependency##*/}, which includes Python.h"}
        fi
    done
    if [[ -z $reason ]]; then
        printf '%s\n' "$path"
        count=$((count + 1))
    elif [[ $tests != 00 ]]; then
        echo "error: the Go tests of $path can never run: $reason" >&2
        status=1
    else
        echo "note: no Go tests for $path: $reason; tests/ covers it" >&2
    fi
done <<<"$listing"
if ((count == 0)); then
    echo "error: no Go package can be tested" >&2
    status=1
fi
exit $status
