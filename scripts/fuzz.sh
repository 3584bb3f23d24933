#!/usr/bin/env bash
# Gives parsers of input what libFuzzer makes up, by what it sees of the paths that it takes through
# them, and fails where one does not keep what fuzz/ says it has to. What led to new paths is kept in
# target/fuzz, so that the next run goes on from there; what fails is put there too.
#
#   scripts/fuzz.sh [PARSER...]     all, or some: report, exposition, ...
#
# Environment: EACH (seconds for each parser: 600), AT_ONCE (how many run at the same time: 2),
# FUZZ_SEED (what libFuzzer makes up begins from it; another one each time where not said),
# RESUME=1 (what ran already since the sources changed counts, so that it may be ended at any moment).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

each=${EACH:-600} at_once=${AT_ONCE:-2}
target=${CARGO_TARGET_DIR:-target}
# So long a parser runs before it is said how far it came.
slice=60

if [ $# -gt 0 ]; then
    parsers=("$@")
else
    mapfile -t parsers < <(cd fuzz/seeds && printf '%s\n' *)
fi

build() {
    scripts/setup.sh fuzz
    RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/rustc.sh \
        cargo build --locked --quiet --features fuzzing --example fuzz
    # Another build may put another one there.
    mkdir -p "$target/fuzz"
    cp "$target/debug/examples/fuzz" "$target/fuzz/program"
}

# number NAME LOG: the last number of that name in what libFuzzer says, 0 where it says none.
number() {
    sed -nE "1i 0
        s/.*\b$1: +([0-9]+).*/\1/p" "$2" | tail -n 1
}

# run PARSER SECONDS: its log is target/fuzz/PARSER/log.
run() {
    local folder=$target/fuzz/$1 options=()
    mkdir -p "$folder/corpus"
    [ ! -e "fuzz/words/$1" ] || options+=("-dict=fuzz/words/$1")
    [ -z "${FUZZ_SEED:-}" ] || options+=("-seed=$FUZZ_SEED")
    FUZZ_PARSER=$1 "$target/fuzz/program" -max_total_time="$2" -max_len=4096 -timeout=20 \
        -rss_limit_mb=1024 -artifact_prefix="$folder/" -print_final_stats=1 "${options[@]}" \
        "$folder/corpus" "fuzz/seeds/$1" >"$folder/log" 2>&1
}

# parser NAME: runs it slice by slice, and says how far it is.
parser() {
    local folder=$target/fuzz/$1 done=0 seconds runs=0
    mkdir -p "$folder"
    [ -z "${RESUME:-}" ] || done=$(cat "$folder/done-$sources" 2>/dev/null || echo 0)
    while [ "$done" -lt "$each" ]; do
        seconds=$((each - done < slice ? each - done : slice))
        run "$1" "$seconds" || {
            tail -n 60 "$folder/log"
            echo "fuzz: $1 failed; again: FUZZ_PARSER=$1 $target/fuzz/program $folder/crash-…"
            return 1
        }
        done=$((done + seconds))
        echo "$done" >"$folder/done-$sources"
        runs=$((runs + $(number stat::number_of_executed_units "$folder/log")))
        echo "fuzz: $1: $done of $each s, $runs runs, $(number cov "$folder/log") edges"
    done
}

leave() {
    local left
    # With what each has started.
    mapfile -t left < <(jobs -p)
    [ ${#left[@]} -eq 0 ] || kill -- "${left[@]/#/-}" 2>/dev/null || true
    [ -z "${TMPDIR:-}" ] || rm -rf "$TMPDIR"
}

build
sources=$(sha256sum "$target/fuzz/program" | cut -c 1-16)
# Files that a check writes are gone at once: memory will do.
[ ! -w /dev/shm ] || { TMPDIR=$(mktemp -d /dev/shm/noetl-metrics-fuzz.XXXXXX) && export TMPDIR; }
trap 'exit 143' TERM
trap leave EXIT
running=0
for name in "${parsers[@]}"; do
    if [ "$running" -eq "$at_once" ]; then
        wait -n
        running=$((running - 1))
    fi
    set -m
    parser "$name" &
    set +m
    running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
    wait -n
    running=$((running - 1))
done
echo "fuzz: ${#parsers[@]} parsers kept all that they have to"
