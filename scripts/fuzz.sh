#!/usr/bin/env bash
# usage: fuzz.sh [AMOUNT]
# Runs every Go fuzz target for AMOUNT (150000x: so many inputs). Targets are found, not listed; none
# is an error. A number of inputs, since go test takes reaching a time limit for a failure when the
# machine is busy ("context deadline exceeded", no input saved).
set -euo pipefail
cd "$(dirname "$0")/.."
amount=${1:-150000x}

packages=$(./scripts/go_packages.sh 2>/dev/null)
listing=$(xargs go list -f '{{.ImportPath}} {{.Dir}}' <<<"$packages")
count=0
failed=()
while read -r package folder; do
    targets=$(find "$folder" -maxdepth 1 -name '*_test.go' -exec cat {} + | sed -nE 's/^func (Fuzz\w+)\(.*/\1/p')
    for target in $targets; do
        echo "--- ${package##*/}.$target, $amount"
        go test -run '^$' -fuzz "^$target\$" -fuzztime "$amount" "$package" </dev/null |
            sed '/^fuzz: elapsed/d' || failed+=("${package##*/}.$target")
        count=$((count + 1))
    done
done <<<"$listing"
if ((count == 0)); then
    echo "error: no fuzz target was found, and every parser has one" >&2
    exit 1
fi
if ((${#failed[@]})); then
    echo "failed: ${failed[*]}; keep the inputs found under testdata/ as test cases" >&2
    exit 1
fi
echo "$count fuzz targets passed"
