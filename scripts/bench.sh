#!/usr/bin/env bash
# Measures against peers on this machine: fetches those that are missing, builds, runs.
#
#   scripts/bench.sh [--quick] [ROW...]    rows by number; all where none is named
#
# Environment: ROW (rows), QUICK=1 (a short form whose figures are not written), BENCH_DIR (where
# the benchmark's PostgreSQL keeps its data: a folder on a real disk, /var/tmp by default), PG_BIN,
# E2E_VM_OPERATOR (a program of VictoriaMetrics' operator, the peer of row 11).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # the sourced scripts use it
cache=$root/.cache
cd "$root"

# shellcheck source=scripts/setup/packages.sh
source scripts/setup/packages.sh
# shellcheck source=scripts/setup/python.sh
source scripts/setup/python.sh
# shellcheck source=scripts/setup/partners.sh
source scripts/setup/partners.sh

scripts/setup.sh run
make_daemon prometheus-pushgateway usr/bin/prometheus-pushgateway
make_daemon prometheus-node-exporter usr/bin/prometheus-node-exporter
make_daemon victoria-metrics usr/bin/victoria-metrics usr/bin/vmagent

[[ " $* " != *" --quick "* ]] || QUICK=1
rows=" ${ROW:-} ${*//--quick/} "
rows=${rows//,/ }
# wants ROW: whether it is measured.
wants() { [[ -z ${rows// /} || $rows == *" $1 "* ]]; }

# What an agent takes on a node is what the image's program takes; in short the program under test does.
if [[ ${QUICK:-0} == 0 ]] && { wants 9 || wants 12; }; then
    scripts/setup.sh image
    # As it is shipped, whatever its size: that is a figure of row 12.
    env -u ARCHIVE -u FROM_BINARY PROFILE=dist MAX_MB=1000 scripts/image.sh
    export BENCH_IMAGE=$root/target/image/noetl-metrics.tar
    BENCH_IMAGE_PROGRAM=$(realpath "${CARGO_TARGET_DIR:-target}/image-build")/$(uname -m)-unknown-linux-gnu/dist/noetl-metrics
    export BENCH_IMAGE_PROGRAM
fi

# Row 11 wants an API server: of the programs that the end-to-end tests build, once.
if wants 11; then
    scripts/setup.sh programs
    e2e/cluster/build.sh kubernetes vm-crds
    # shellcheck source=e2e/cluster/env.sh
    BENCH_CLUSTER=$(source e2e/cluster/env.sh && echo "$cache")
    export BENCH_CLUSTER
fi

BENCH_TOOLS=$root/.cache/tools/bin exec cargo bench --locked --bench compare -- "$@"
