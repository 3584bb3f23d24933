#!/usr/bin/env bash
# The end-to-end tests: builds what they need, starts a Kubernetes on this machine, runs the cases
# against it, and takes it down again. Arguments go to pytest (-k plain, -m smoke).
#
# Environment: PROFILE of the image's program (e2e), KEEP=1 (leave the cluster up), PYTHON,
# BUILD_ONLY=1 (end where the cluster would start).
# For a cluster that is there already: E2E_KUBECONFIG, E2E_REGISTRY (where its nodes find what
# e2e/images.sh made), E2E_IMAGE (the image under test). Then nothing is started or taken down.
# Exits with 69 where the cluster, of which nothing is this project's, could not be built or started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stage() {
    local began=$SECONDS
    printf '\n== %s\n' "$*"
    "$@" || return
    printf '== %d s: %s (at %d s)\n' $((SECONDS - began)) "$*" "$SECONDS"
}

# rustup puts cargo where a shell that started earlier does not look yet.
export PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
stage scripts/setup.sh e2e
# shellcheck source=e2e/cluster/env.sh
source e2e/cluster/env.sh
archive=target/image/noetl-metrics-e2e.tar
program=${CARGO_TARGET_DIR:-target}/image-build/$(uname -m)-unknown-linux-gnu/${PROFILE:-e2e}/noetl-metrics
next=target/image/noetl-metrics-e2e-next.tar

if [ -z "${E2E_KUBECONFIG:-}" ]; then
    stage e2e/cluster/able.sh || exit 69
    stage e2e/cluster/build.sh || exit 69
    stage env PROFILE="${PROFILE:-e2e}" VERSION=e2e ARCHIVE=$archive MAX_MB=40 scripts/image.sh
    # What an upgrade leads to: the same program by another tag.
    stage env FROM_BINARY="$program" VERSION=e2e-next ARCHIVE=$next MAX_MB=40 scripts/image.sh
    stage e2e/images.sh
    [ -z "${BUILD_ONLY:-}" ] || exit 0
    # Told to end, it waits for the cases to say where they were. Then without a word: the last ones
    # are pytest's.
    trap 'exit 143' TERM
    [ -n "${KEEP:-}" ] || trap e2e/cluster/down.sh EXIT
    stage e2e/cluster/up.sh || exit 69
    stage e2e/cluster/image.sh $archive $next "$cache"/images/*.tar
else
    stage e2e/cluster/build.sh kubernetes
    export KUBECONFIG=$E2E_KUBECONFIG
    unset E2E_AUDIT_LOG
fi
printf '\n== the cases (at %d s)\n' "$SECONDS"
.cache/venv/bin/python -m pytest -c e2e/pytest.ini --rootdir=e2e e2e/cases "$@"
