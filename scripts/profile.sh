#!/usr/bin/env bash
# usage: profile.sh
# Renews go/engine.pgo, by which the compiler knows what the engine does most: whatever is called
# there is inlined, and laid out for that path. The benchmarks are the profile's program: an event to one
# client, the ways of dispatch, each bus. An old profile is never wrong, it only gains less.
# https://go.dev/doc/pgo
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

profile() {
    echo "--- $1, $2"
    go test -run '^$' -bench "$2" -benchtime "$3" -cpuprofile "$folder/${1//\//.}.${2//[^A-Za-z]/}.pgo" \
        -o "$folder/test" "./go/internal/$1"
}
profile executor '^BenchmarkOneSocket$' 20s
profile executor '^Benchmark(Dispatch|TenMatch)$' 1s
profile bus/redis '^BenchmarkThroughput$/^channels=100$/^(single|batch)$' 1000000x
profile bus/postgres '^BenchmarkPublishing$' 1s
go tool pprof -proto "$folder"/*.pgo >go/engine.pgo
