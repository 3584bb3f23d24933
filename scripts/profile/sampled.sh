#!/usr/bin/env bash
# Becomes the program $PROFILED, in this very process, while perf samples it to its end. For
# scripts/profile.sh, in the place of the program.
set -euo pipefail

data=$PROFILE_FOLDER/$1.$$.data
mkfifo "$data.control" "$data.answer"
# The stack is unwound later, from a copy: the program is the one that is shipped, without frame
# pointers. In a subshell, so that perf is no child of the program.
(
    perf record --quiet --freq="${FREQUENCY:-1999}" --call-graph=dwarf,16384 --pid=$$ \
        --delay=-1 --control="fifo:$data.control,$data.answer" \
        --output="$data" </dev/null >"$data.log" 2>&1 &
    echo $! >"$data.pid"
)
# Nothing is missed: perf answers once it looks.
echo enable >"$data.control"
read -r _ <"$data.answer"
exec "$PROFILED" "$@"
