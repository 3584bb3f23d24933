#!/usr/bin/env bash
# The end-to-end tests: builds what they need, starts a Kubernetes on this machine, runs the cases
# against it, and takes it down again. Arguments go to pytest (-k plain, -m smoke).
#
# Environment: PROFILE of the image's program (e2e), KEEP=1 (leave the cluster up), PYTHON,
# AT_ONCE (3: how many cases run at the same time), BUILD_ONLY=1 (end where the cluster would start).
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

# The image under test; and what an upgrade leads to: the same program by another tag.
images() {
    stage env PROFILE="${PROFILE:-e2e}" VERSION=e2e ARCHIVE=$archive MAX_MB=40 scripts/image.sh &&
        stage env FROM_BINARY="$program" VERSION=e2e-next ARCHIVE=$next MAX_MB=40 scripts/image.sh
}

# Takes down what was started here. The group of the build's processes has the number of its first.
# shellcheck disable=SC2329 # a trap calls it
leave() {
    [ -z "${building:-}" ] || kill -- "-$building" 2>/dev/null || true
    [ -z "${started:-}" ] || [ -n "${KEEP:-}" ] || e2e/cluster/down.sh
}

# cases TURN [OPTIONS...]: pytest's status.
cases() {
    local turn=$1 status=0
    shift
    printf '\n== the cases that run %s (at %d s)\n' "$turn" "$SECONDS"
    .cache/venv/bin/python -m pytest -c e2e/pytest.ini --rootdir=e2e --turn="$turn" "$@" e2e/cases \
        || status=$?
    return "$status"
}

if [ -z "${E2E_KUBECONFIG:-}" ]; then
    stage e2e/cluster/able.sh || exit 69
    stage e2e/cluster/build.sh || exit 69
    if [ -n "${BUILD_ONLY:-}" ]; then
        images
        stage e2e/images.sh
        exit 0
    fi
    # Told to end, it waits for the cases to say where they were. Then without a word: the last ones
    # are pytest's.
    trap 'exit 143' TERM
    trap leave EXIT
    # The cluster starts while the image is built: the one waits, the other works.
    said=$(mktemp)
    set -m
    images >"$said" 2>&1 &
    building=$!
    set +m
    started=1
    stage e2e/images.sh
    stage e2e/cluster/up.sh || exit 69
    stage e2e/cluster/image.sh "$cache"/images/*.tar
    built=0
    wait "$building" || built=$?
    building=
    cat "$said"
    rm "$said"
    [ "$built" -eq 0 ] || exit "$built"
    stage e2e/cluster/image.sh $archive $next
else
    stage e2e/cluster/build.sh kubernetes
    export KUBECONFIG=$E2E_KUBECONFIG
    unset E2E_AUDIT_LOG
fi

# Both turns use one release of the operator.
export E2E_RUN=$$-$RANDOM
together=0 alone=0
cases together --numprocesses="${AT_ONCE:-3}" "$@" || together=$?
# 5: no case of this turn was asked for.
[[ $together =~ ^[015]$ ]] || exit "$together"
cases alone "$@" || alone=$?
[ "$alone" -ne 5 ] || exit "$together"
[ "$together" -eq 5 ] || [ "$together" -eq 0 ] || exit "$together"
exit "$alone"
