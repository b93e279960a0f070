#!/usr/bin/env bash
# usage: postgres_servers.sh FOLDER
# Puts the PostgreSQL servers that tests/servers locks into FOLDER/12, FOLDER/13 and so on, with their
# programs in bin/, as far as they are made for this machine. FOLDER is one that the unprivileged user
# whom they run as can reach, which a checkout need not be. Downloads are kept in build/servers.
set -euo pipefail
folder=$(realpath "$1")
cd "$(dirname "$0")/.."

kept=build/servers
mkdir -p "$kept"
# What was installed is as the lock says if npm finished with the same one.
if ! cmp -s tests/servers/package-lock.json "$kept/installed.json"; then
    rm -f "$kept/installed.json"
    cp tests/servers/package.json tests/servers/package-lock.json "$kept"
    (cd "$kept" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
    cp tests/servers/package-lock.json "$kept/installed.json"
fi
for package in "$kept"/node_modules/postgresql-*; do
    [[ -d $package/native ]] || continue
    target=$folder/${package##*-}
    cp -R "$package/native" "$target"
    # A package has no links: each library gets the name by which programs ask for it.
    node -e '
        const fs = require("fs"), path = require("path");
        for (const { source, target } of JSON.parse(fs.readFileSync(process.argv[1] + "/native/pg-symlinks.json")))
            fs.symlinkSync(path.basename(source), path.join(process.argv[2], path.relative("native", target)));
    ' "$package" "$target"
    "$target/bin/postgres" --version
done
if [[ $(uname -sm) == "Linux x86_64" && $(ls "$folder" | wc -l) != $(grep -c '"npm:' tests/servers/package.json) ]]; then
    echo "error: npm left out servers that are made for this machine" >&2
    exit 1
fi
chmod -R a+rX "$folder"
