#!/usr/bin/env bash
# Whether this machine can run the test cluster: tries each thing that up.sh, containerd, the kubelet
# and kube-proxy need of the kernel, in namespaces that end with the try. Prints what is missing, a
# line each, and fails; prints nothing where nothing is.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=e2e/cluster/lib.sh
source "$here/lib.sh"

missing=no
# need WHAT COMMAND...: WHAT is missing where the command fails.
need() {
    local what=$1 said
    shift
    said=$("$@" 2>&1 >/dev/null) && return
    missing=yes
    echo "missing: $what${said:+ (${said%%$'\n'*})}"
    return 1
}

link_pods() {
    ip link set lo up && ip link add able type bridge &&
        ip link add able-h type veth peer name able-n && ip link set able-n master able
}

# As up.sh does; the filter of bridges is the machine's, its switch the namespace's.
forward_packets() {
    sysctl -qw net.ipv4.ip_forward=1
    [ -e /proc/sys/net/bridge ] || modprobe br_netfilter || return
    sysctl -qw net.bridge.bridge-nf-call-iptables=1
}

# What kube-proxy's rules are made of.
program_nft() {
    nft -f - <<END
table ip able {
    map addresses { type ipv4_addr . inet_proto . inet_service : verdict; }
    chain endpoint { meta mark set mark or 0x4000; meta l4proto tcp dnat to 10.0.0.1:80; }
    chain service { numgen random mod 1 vmap { 0 : goto endpoint }; }
    chain nat { type nat hook prerouting priority dstnat; fib daddr type local goto service; }
    chain out { type nat hook postrouting priority srcnat; ct state new masquerade fully-random; }
}
END
}

# What CNI's portmap makes.
program_iptables() {
    iptables -t nat -A PREROUTING -m comment --comment able -m addrtype --dst-type LOCAL -j ACCEPT
}

# Where containerd keeps its layers: on top of another overlay, or some network's disk, it can't.
mount_overlay() {
    local folder=$1
    mkdir -p "$folder"/{lower,upper,work,merged}
    mount -t overlay overlay \
        -o "lowerdir=$folder/lower,upperdir=$folder/upper,workdir=$folder/work" "$folder/merged"
}

# A group of each controller, as the kubelet makes for pods, by either version of cgroups.
make_cgroups() {
    local root=/sys/fs/cgroup controllers="cpu cpuset memory pids" controller group
    if [ -e $root/cgroup.controllers ]; then
        for controller in $controllers; do
            grep -qw "$controller" $root/cgroup.subtree_control ||
                echo "+$controller" >$root/cgroup.subtree_control || return
        done
        group=$root/noetl-e2e-able-$$
        mkdir "$group" && rmdir "$group"
        return
    fi
    for controller in $controllers; do
        [ -e "$root/$controller/tasks" ] || {
            echo "no controller $controller" >&2
            return 1
        }
        group=$root/$controller/noetl-e2e-able-$$
        mkdir "$group" && rmdir "$group" || return
    done
}

# The kubelet sets these, and reads the kernel's messages.
write_kernel() {
    local file
    for file in vm/overcommit_memory kernel/panic kernel/panic_on_oops; do
        [ -w /proc/sys/$file ] || {
            echo "/proc/sys/$file can't be written" >&2
            return 1
        }
    done
    head -c 0 /dev/kmsg
}

if [ "${1:-}" = --inside ]; then
    need "links between network namespaces" link_pods
    need "forwarding of packets" forward_packets
    need "nftables as kube-proxy needs them" program_nft
    need "iptables with the modules addrtype and comment" program_iptables
    need "overlay file systems at $(dirname "$2")" mount_overlay "$2"
    need "namespaces of pods" unshare --mount --uts --ipc --pid --fork --propagation shared true
    [ $missing = no ]
    exit
fi

[ "$EUID" -eq 0 ] || sudo -n true 2>/dev/null || [ -t 0 ] || {
    echo "missing: root, or sudo without a password"
    exit 1
}
as_root "$@"
for program in containerd runc ip nsenter unshare sysctl nft iptables conntrack openssl jq; do
    need "the program $program" command -v "$program"
done
need "cgroups that can be written, with cpu, cpuset, memory and pids" make_cgroups
need "the kernel's messages and settings" write_kernel
if need "network and mount namespaces" unshare --net --mount true; then
    # On the file system that containerd's will be on.
    mkdir -p "$state"
    folder=$(mktemp -d -p "$state")
    trap 'rm -rf "$folder"; rmdir --ignore-fail-on-non-empty "$state"' EXIT
    unshare --net --mount --propagation private "$0" --inside "$folder" || missing=yes
fi
[ $missing = no ]
