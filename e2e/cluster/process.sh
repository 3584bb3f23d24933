#!/usr/bin/env bash
# Ends or starts one process of the running cluster, for tests of outages:
#
#   process.sh stop|kill|start kube-apiserver|etcd|kube-controller-manager|...
#   process.sh list
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=e2e/cluster/lib.sh
source "$here/lib.sh"
as_root "$@"

case ${1:-}:${2:-} in
    stop:?*) stop TERM "$2" ;;
    kill:?*) stop KILL "$2" ;;
    start:?*)
        [ -e "$run/commands/$2" ] || { echo "the cluster has no $2" >&2; exit 1; }
        ! pid_of "$2" >/dev/null || exit 0
        declare -a command
        eval "command=($(<"$run/commands/$2"))"
        start "$2" "${command[@]}"
        ;;
    list:)
        for file in "$run"/processes/*; do
            [ -e "$file" ] || continue
            name=${file##*/}
            printf '%-24s %s\n' "$name" "$(pid_of "$name" || echo ended)"
        done
        ;;
    *)
        echo "usage: process.sh stop|kill|start NAME, or process.sh list" >&2
        exit 2
        ;;
esac
