#!/usr/bin/env bash
# Says whether this machine can run the test cluster: no output and success where it can, else the
# reason, and failure. Changes nothing; needs what `scripts/setup.sh e2e` installs.
set -euo pipefail

no() {
    echo "this machine cannot run the test cluster: $*"
    exit 1
}

root=()
if [ "$EUID" -ne 0 ]; then
    sudo --non-interactive true 2>/dev/null || no "it needs root, or sudo without a password"
    root=(sudo --non-interactive)
fi
for program in containerd runc nft iptables conntrack ip nsenter unshare go; do
    command -v "$program" >/dev/null || PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null ||
        no "there is no $program"
done
# What the node does: namespaces, mounts, overlays, a pair of links, a bridge, nftables.
# shellcheck disable=SC2016 # it is expanded by the shell that runs it
try='set -e
folder=$(mktemp -d)
mount -t tmpfs none "$folder"
mkdir "$folder/lower" "$folder/upper" "$folder/work" "$folder/both"
mount -t overlay overlay -o "lowerdir=$folder/lower,upperdir=$folder/upper,workdir=$folder/work" "$folder/both"
ip link add able-a type veth peer name able-b
ip link add able-c type bridge
nft add table inet able'
said=$("${root[@]}" unshare --net --mount --pid --fork env PATH="$PATH:/usr/sbin:/sbin" sh -c "$try" 2>&1) ||
    no "namespaces, mounts, links or nftables are not allowed here: ${said##*$'\n'}"
for controller in memory cpu pids; do
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        grep -qw "$controller" /sys/fs/cgroup/cgroup.controllers || no "the cgroup controller $controller is missing"
    else
        [ -d "/sys/fs/cgroup/$controller" ] || no "the cgroup controller $controller is missing"
    fi
done
"${root[@]}" sh -c 'find /sys/fs/cgroup -maxdepth 0 -writable | grep -q .' || no "the cgroups cannot be written"
