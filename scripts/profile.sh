#!/usr/bin/env bash
# Shows where the time of a row of the benchmarks goes: runs it in its short form while perf samples
# the program, and draws flame graphs.
#
#   scripts/profile.sh ROW   target/profile/row-ROW-server.svg, and the like for each other
#                            subcommand that the row starts; the first functions on the terminal
#
# Only the program is sampled: neither PostgreSQL, nor the load generator, nor a peer.
#
# Environment: as scripts/bench.sh; BENCH_PROGRAM (the program to sample, by default the one that is
# measured), FREQUENCY (samples a second of each thread that runs).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export PATH=$root/.cache/cargo-tools/bin:$PATH

row=${1:-${ROW:-}}
[ -n "$row" ] || {
    echo "usage: scripts/profile.sh ROW" >&2
    exit 2
}
scripts/setup.sh profile
folder=$root/target/profile
mkdir -p "$folder"
rm -f "$folder"/*.data*

if [ -z "${BENCH_PROGRAM:-}" ]; then
    cargo bench --locked --no-run --bench compare
    BENCH_PROGRAM=${CARGO_TARGET_DIR:-target}/release/noetl-metrics
fi
PROFILED=$(realpath "$BENCH_PROGRAM")
export PROFILED PROFILE_FOLDER=$folder
BENCH_PROGRAM=$root/scripts/profile/sampled.sh QUICK=1 ROW=$row scripts/bench.sh

# What perf still has to write, it writes once its process has ended.
for pid in "$folder"/*.pid; do
    while kill -0 "$(cat "$pid")" 2>/dev/null; do sleep 0.1; done
done

# One graph for each subcommand, of all its processes.
roles=$(cd "$folder" && printf '%s\n' ./*.data | sed 's|^\./||; s|\..*||' | sort -u)
for role in $roles; do
    name=$folder/row-$row-$role
    for data in "$folder/$role".*.data; do
        perf script --no-inline --input="$data" 2>/dev/null
    done | inferno-collapse-perf --quiet >"$name.folded"
    inferno-flamegraph --title "noetl-metrics $role, row $row of docs/benchmarks.md" \
        <"$name.folded" >"$name.svg"
    echo
    echo "$role: ${name#"$root/"}.svg; the functions that most samples were taken in:"
    awk '{
        count = $NF; sub(/ [0-9]+$/, ""); leaf = $0; sub(/.*;/, "", leaf); of[leaf] += count; all += count
    } END { for (leaf in of) printf "%5.1f %%  %s\n", 100 * of[leaf] / all, leaf }' "$name.folded" |
        sort -rn | awk 'NR <= 20'
done
rm -f "$folder"/*.data*
