#!/usr/bin/env bash
# Runs the store against its model for long: histories from their seeds, then kills, then writers and
# readers at once. What passed is remembered in target/soak for as long as the sources stay the same, so
# that it may be ended at any moment and goes on where it was.
#
#   scripts/soak.sh
#
# Environment: HISTORIES (10000), KILLS (200), BUSY (seconds for writers and readers: 600), PG_BIN.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

histories=${HISTORIES:-10000} kills=${KILLS:-200} busy=${BUSY:-600}
# So many come to pass or fail together.
batch=50

sources=$(git ls-files -z Cargo.lock migrations src tests/contract/harness tests/model |
    xargs -0 sha256sum | sha256sum | cut -c 1-16)
state=${CARGO_TARGET_DIR:-target}/soak/$sources
mkdir -p "$state"
log=$state/log
said=0

# progress WHAT DONE ALL: a bar on a terminal, elsewhere a line for each tenth.
progress() {
    local what=$1 done=$2 all=$3 bar
    if [ -t 1 ]; then
        printf -v bar '%*s' $((done * 40 / all)) ''
        printf '\r%-10s [%-40s] %s of %s ' "$what" "${bar// /#}" "$done" "$all"
        [ "$done" -lt "$all" ] || echo
    elif [ $((done * 10 / all)) -gt "$said" ] || [ "$done" -eq "$all" ]; then
        said=$((done * 10 / all))
        echo "soak: $what: $done of $all"
    fi
}

# model NAME VARIABLE=VALUE...: one test of the model. What it says is shown where it fails.
model() {
    local test=$1
    shift
    env "$@" cargo test --locked --quiet --test model -- --exact --nocapture "$test" >"$log" 2>&1 || {
        echo
        cat "$log"
        echo "soak: $test failed with $*"
        exit 1
    }
}

# passes WHAT TEST VARIABLE ALL BATCH: the numbers from 0 on, some together, each batch once.
passes() {
    local what=$1 test=$2 variable=$3 all=$4 batch=$5 from to
    said=0
    for ((from = 0; from < all; from += batch)); do
        to=$((from + batch < all ? from + batch : all))
        progress "$what" "$from" "$all"
        grep -qsx "$from..$to" "$state/$what" && continue
        model "$test" "$variable=$from..$to"
        echo "$from..$to" >>"$state/$what"
    done
    progress "$what" "$all" "$all"
}

scripts/setup.sh run
cargo test --locked --quiet --no-run --test model
passes histories histories::every_query_agrees_with_plain_rows_whatever_happened SEEDS "$histories" "$batch"
passes kills kills::nothing_acknowledged_is_lost_or_doubled_by_kill_9 KILLS "$kills" 20
if [ ! -e "$state/busy-$busy" ]; then
    echo "soak: writers, sealing, maintenance and readers at once for $busy s"
    model busy::readers_see_each_sample_once_while_hours_are_sealed_and_dropped "BUSY=$busy"
    touch "$state/busy-$busy"
fi
echo "soak: all passed"
