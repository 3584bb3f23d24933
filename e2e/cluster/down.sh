#!/usr/bin/env bash
# Ends what up.sh started, each process by its recorded id, and removes what it left: containers,
# mounts, cgroups, the network namespace, the state. Works on half a cluster and on none.
#
#   down.sh          keeps certificates, imported images and logs for the next start
#   down.sh --purge  keeps nothing but the cache of programs
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=e2e/cluster/lib.sh
source "$here/lib.sh"
as_root "$@"

end_containers() {
    local id
    pid_of containerd >/dev/null || return 0 # ctr would wait for it
    for id in $(ctr tasks ls -q); do
        ctr tasks kill -s SIGKILL "$id"
    done
    until_true 10 "end of the containers" eval '! ctr tasks ls | grep -q RUNNING'
    for id in $(ctr tasks ls -q); do
        ctr tasks delete -f "$id"
    done
    for id in $(ctr containers ls -q); do
        ctr containers delete "$id"
    done
} >/dev/null 2>&1

# Shims outlive containerd where it was killed: they are told by its socket among their arguments.
end_shims() {
    local file pid
    grep -lzFx -- "$CONTAINERD_ADDRESS" /proc/[0-9]*/cmdline 2>/dev/null | while read -r file; do
        pid=${file#/proc/}
        pid=${pid%/cmdline}
        [[ $(readlink "/proc/$pid/exe") != *containerd-shim* ]] || kill -KILL "$pid"
    done
}

# Deepest first.
unmount_below() {
    awk -v below="$1/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort -r |
        while read -r mount; do umount -l "$mount"; done
}

# Each pod has a network namespace of its own; CNI's record of it names it.
remove_network() {
    local record
    for record in /var/lib/cni/results/noetl-e2e-*; do
        [ -e "$record" ] || continue
        jq -r '.result.interfaces[]?.sandbox // empty' "$record" | sort -u |
            xargs -r -n1 basename | xargs -r -n1 ip netns delete 2>/dev/null
        rm -f "$record"
    done
    ip netns delete $netns 2>/dev/null # its links, routes and rules go with it
    ip link delete $host_link 2>/dev/null
}

# The kubelet ends first, or it would start the containers again; what they ran as is killed, since
# nothing of it is kept.
stop KILL kubelet
end_containers
for name in kube-router coredns kube-proxy kube-scheduler kube-controller-manager kube-apiserver etcd; do
    stop KILL "$name"
done
stop TERM containerd
end_shims
umount "$run/namespaces/mount" "$run/namespaces" 2>/dev/null
unmount_below "$state"
unmount_below "$run"
remove_network
find /sys/fs/cgroup -path '*/kubepods*' -depth -type d -exec rmdir {} \; 2>/dev/null
rm -rf "$run" "$state"/{etcd,kubelet,pod-logs}
find /var/log/containers -xtype l -delete 2>/dev/null
if [ "${1:-}" = --purge ]; then
    rm -rf "$state"
elif [ -d "$state/log" ]; then
    rm -rf "$state/log.old"
    mv "$state/log" "$state/log.old"
fi
exit 0
