# Starting and ending the cluster's processes. Each has a file in $run/processes/NAME: its process
# id and the time that the kernel says it started at, so that an id used again by another process
# is never mistaken for it. Sourced by the scripts beside it.
# shellcheck shell=bash

# $here: the folder of the script that sources this.
# shellcheck source=e2e/cluster/env.sh disable=SC2154
source "$here/env.sh"

# Root is needed for the namespace, containerd and the kubelet.
as_root() {
    [ "$EUID" -ne 0 ] || return 0
    command -v sudo >/dev/null || {
        echo "the test cluster needs root: run this as root, or install sudo" >&2
        exit 1
    }
    exec sudo --preserve-env=HOME,XDG_CACHE_HOME,E2E_STATE "$0" "$@"
}

# Not `ip netns exec`, which mounts a /sys without the cgroups.
in_netns() { nsenter --net="/run/netns/$netns" -- "$@"; }

# Kernel's start time of a process, or nothing where there is none or only its zombie.
started_at() {
    local stat
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
    stat=${stat##*) }
    [ "${stat%% *}" = Z ] || awk '{ print $20 }' <<<"$stat"
}

# pid_of NAME: the process's id if it lives.
pid_of() {
    local pid start
    read -r pid start 2>/dev/null <"$run/processes/$1" || return 1
    [ -n "$pid" ] && [ "$(started_at "$pid")" = "$start" ] && echo "$pid"
}

# start NAME COMMAND...: in the cluster's namespaces and a session of its own; its words go
# to a file. The command is kept, so that process.sh can start it again.
start() {
    local name=$1
    shift
    mkdir -p "$run"/{processes,commands} "$state/log"
    printf '%q ' "$@" >"$run/commands/$name"
    setsid nsenter --net="/run/netns/$netns" --mount="$run/namespaces/mount" -- "$@" >>"$state/log/$name.log" 2>&1 </dev/null &
    echo "$! $(started_at $!)" >"$run/processes/$name"
    disown # the shell is not to tell how it ended
}

# stop SIGNAL NAME: and waits until it is gone; after ten seconds it is killed.
stop() {
    local pid deadline=$((SECONDS + 10))
    if pid=$(pid_of "$2"); then
        kill "-$1" "$pid" 2>/dev/null || true
        while pid_of "$2" >/dev/null; do
            [ "$SECONDS" -lt "$deadline" ] || kill -KILL "$pid" 2>/dev/null || true
            sleep 0.05
        done
    fi
    rm -f "$run/processes/$2"
}

# Names of processes that were started and live no more.
ended() {
    local file
    for file in "$run"/processes/*; do
        [ ! -e "$file" ] || pid_of "${file##*/}" >/dev/null || echo "${file##*/}"
    done
}

# last_words NAME...: the ends of the logs of these processes.
last_words() {
    local name
    for name in "$@"; do
        printf '\n-- the end of %s:\n' "$name.log"
        tail -n 20 "$state/log/$name.log" | cut -c 1-400
    done >&2
}

# until_true SECONDS WHAT COMMAND...
until_true() {
    local limit=$1 what=$2
    local deadline=$((SECONDS + limit))
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || {
            echo "no $what within $limit s" >&2
            return 1
        }
        sleep 0.1
    done
}
