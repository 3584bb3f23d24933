#!/usr/bin/env bash
# Runs for long what the tests run for a short time: first an hour of faults, some minutes of each seed,
# and an outage that agents drain; then the store against its model, histories from their seeds, kills,
# writers and readers at once. What passed is remembered in target/soak for as long as the sources stay
# the same, so that it may be ended at any moment and goes on where it was.
#
#   scripts/soak.sh
#
# Environment: FAULTS (seeds of 300 s each: 12), OUTAGE (scrapes while the server is away: 240),
# HISTORIES (10000), KILLS (200), BUSY (seconds for writers and readers: 600), each left out by 0; PG_BIN.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

faults=${FAULTS:-12} outage=${OUTAGE:-240} histories=${HISTORIES:-10000} kills=${KILLS:-200} busy=${BUSY:-600}
# So many come to pass or fail together.
batch=50

sources=$(git ls-files -z Cargo.lock migrations src tests/contract/harness tests/contract/spool.rs tests/faults tests/model |
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

# one_of TARGET NAME VARIABLE=VALUE...: one test. What it says is shown where it fails.
one_of() {
    local target=$1 test=$2
    shift 2
    env "$@" cargo test --locked --quiet --test "$target" -- --exact --nocapture "$test" >"$log" 2>&1 || {
        echo
        cat "$log"
        echo "soak: $test failed with $*"
        exit 1
    }
}

# Each seed once, and what it tells at its end.
faults() {
    local seed
    [ "$faults" -gt 0 ] || return 0
    said=0
    for ((seed = 1; seed <= faults; seed++)); do
        progress faults $((seed - 1)) "$faults"
        [ ! -e "$state/faults-$seed" ] || continue
        one_of faults run::nothing_acknowledged_is_lost_and_no_series_breaks_whatever_fails \
            "FAULTS_SEED=$seed" FAULTS_SECONDS=300
        sed -n '/^seed /,/^wrong/p' "$log" | tee "$state/faults-$seed.part"
        mv "$state/faults-$seed.part" "$state/faults-$seed"
    done
    progress faults "$faults" "$faults"
    cat "$state"/faults-* | awk '/^seed / { all += $3 } END { print "soak: " all " faults" }'
}

# passes WHAT TEST VARIABLE ALL BATCH: the numbers from 0 on, some together, each batch once.
passes() {
    local what=$1 test=$2 variable=$3 all=$4 batch=$5 from to
    [ "$all" -gt 0 ] || return 0
    said=0
    for ((from = 0; from < all; from += batch)); do
        to=$((from + batch < all ? from + batch : all))
        progress "$what" "$from" "$all"
        grep -qsx "$from..$to" "$state/$what" && continue
        one_of model "$test" "$variable=$from..$to"
        echo "$from..$to" >>"$state/$what"
    done
    progress "$what" "$all" "$all"
}

scripts/setup.sh run
cargo test --locked --quiet --no-run --test contract --test faults --test model
faults
if [ "$outage" -gt 0 ] && [ ! -e "$state/outage-$outage" ]; then
    echo "soak: ten agents, and a server that is away for $outage scrapes"
    one_of contract spool::ten_agents_drain_an_outage_in_order_and_at_their_rate "OUTAGE=$outage"
    touch "$state/outage-$outage"
fi
passes histories histories::every_query_agrees_with_plain_rows_whatever_happened SEEDS "$histories" "$batch"
passes kills kills::nothing_acknowledged_is_lost_or_doubled_by_kill_9 KILLS "$kills" 20
if [ "$busy" -gt 0 ] && [ ! -e "$state/busy-$busy" ]; then
    echo "soak: writers, sealing, maintenance and readers at once for $busy s"
    one_of model busy::readers_see_each_sample_once_while_hours_are_sealed_and_dropped "BUSY=$busy"
    touch "$state/busy-$busy"
fi
echo "soak: all passed"
