#!/usr/bin/env bash
# Builds NoETL as it is published, for the tests that run it: its server, its worker, and the NATS
# server between them, into the cache of the end-to-end tests (../cluster/env.sh). What is there in
# the versions below is left alone.
#
#   build.sh           all three
#   build.sh --ready   builds nothing; says what is missing, and exits with 1 where something is
#
# NoETL's own code and that of its crates is compiled as published, without optimisation. Two things
# of the worker are left out, which no test uses and which take half an hour and more to compile:
# the tools that run WebAssembly (its feature `wasm-plugin`), and DuckDB, a C++ program that
# its `duckdb` tool holds (cxx.sh).
# Some fifteen minutes on two cores, network included; needs cargo, g++, cmake, pkg-config, Go.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=e2e/cluster/env.sh
source "$here/../cluster/env.sh"

server=3.54.0 worker=5.52.0 nats=v2.15.2
scratch=$cache/noetl-build # compiled crates: kept while something is missing, so that a build goes on

build_noetl-control-plane() { crate "$1" "noetl-server@$server"; }

build_noetl-worker() { CXX=$here/cxx.sh crate "$1" "noetl-worker@$worker" --no-default-features; }

build_nats-server() {
    CGO_ENABLED=0 GOFLAGS=-mod=mod GOWORK=off GOBIN=$scratch/bin \
        go install -trimpath -ldflags '-s -w' "github.com/nats-io/nats-server/v2@$nats"
}

# crate PROGRAM CRATE@VERSION [OPTIONS]: as published, with the versions that were published with it.
crate() {
    local program=$1
    shift
    CARGO_TARGET_DIR=$scratch/target CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
        CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_LTO=off \
        CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 \
        cargo install --quiet --locked --no-track --force --root "$scratch" --bin "$program" "$@"
}

version_of() {
    case $1 in
        noetl-control-plane) echo "$server" ;;
        noetl-worker) echo "$worker" ;;
        nats-server) echo "$nats" ;;
    esac
}

# What it is made from: the version, and how.
stamp_of() { { version_of "$1" && declare -f "build_$1" crate && cat "$here/cxx.sh"; } | sha256sum; }

is_built() {
    [ -x "$cache/bin/$1" ] && [ "$(cat "$cache/stamps/$1" 2>/dev/null)" = "$(stamp_of "$1")" ]
}

need() {
    local program missing=()
    for program in "$@"; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    [ ${#missing[@]} -eq 0 ] || {
        echo "NoETL can't be built without: ${missing[*]} (scripts/setup.sh noetl installs them)" >&2
        exit 1
    }
}

missing=()
for program in nats-server noetl-control-plane noetl-worker; do
    is_built "$program" || missing+=("$program")
done
if [ "${1:-}" = --ready ]; then
    [ ${#missing[@]} -eq 0 ] && exit
    echo "not built: ${missing[*]}"
    exit 1
fi
[ ${#missing[@]} -gt 0 ] || exit 0

need cargo g++ cmake pkg-config go
mkdir -p "$cache"/{bin,stamps} "$scratch/bin"
for program in "${missing[@]}"; do
    began=$SECONDS
    echo "building $program $(version_of "$program") (once; its compiler is silent)"
    "build_$program" "$program"
    # The old program is replaced, not written into: it may be running.
    mv "$scratch/bin/$program" "$cache/bin/$program"
    stamp_of "$program" >"$cache/stamps/$program"
    echo "built $program in $((SECONDS - began)) s"
done
rm -rf "$scratch"
