#!/usr/bin/env bash
# Starts a Kubernetes of one node from plain processes, in a network namespace of its own, and
# waits until it is ready; says how long each step took.
#
#   up.sh                  everything: pods run
#   up.sh --control-plane  etcd, API server and controller manager: objects, but no pods
#
# Where a cluster of the same kind runs already nothing happens; one that is broken or was left by
# a crash is taken down first. It needs root (or sudo) and what build.sh made. A start that fails, or
# is interrupted, says why and leaves nothing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=e2e/cluster/lib.sh
source "$here/lib.sh"
# shellcheck source=e2e/cluster/config.sh
source "$here/config.sh"
as_root "$@"

case ${1:-} in
    "") processes=(etcd kube-apiserver kube-controller-manager containerd kube-scheduler kubelet kube-proxy coredns) ;;
    --control-plane) processes=(etcd kube-apiserver kube-controller-manager) ;;
    *)
        echo "usage: up.sh [--control-plane]" >&2
        exit 2
        ;;
esac

began=$(date +%s%N)
say() {
    local ms=$((($(date +%s%N) - began) / 1000000))
    printf '%4d.%d s  %s\n' $((ms / 1000)) $((ms % 1000 / 100)) "$*"
}

# await SECONDS WHAT NAME COMMAND...: until the command succeeds. Where it does not in time, or where
# a process has ended, the last words of NAME or of that process say why.
await() {
    local seconds=$1 what=$2 name=$3 gone
    shift 3
    until_true "$seconds" "$what" succeeds_or_ended "$@" || {
        last_words "$name"
        return 1
    }
    mapfile -t gone < <(ended)
    [ "${#gone[@]}" -gt 0 ] || return 0
    echo "waiting for $what, but this has ended: ${gone[*]}" >&2
    last_words "${gone[@]}"
    return 1
}

succeeds_or_ended() { [ -n "$(ended)" ] || "$@"; }

# At a failure or an interruption: nothing that was started goes on.
give_up() {
    trap - EXIT
    "$here/down.sh"
    printf '\nthe cluster did not start and was taken down; its logs are in %s\n' "$state/log.old" >&2
    exit 1
}

# Every process of this kind of cluster lives, and the API server answers.
runs_already() {
    local name
    for name in "${processes[@]}"; do
        pid_of "$name" >/dev/null || return 1
    done
    kubectl get --raw /readyz --request-timeout=5s >/dev/null 2>&1
}

make_network() {
    ip netns add $netns
    ip link add $host_link type veth peer name $node_link netns $netns
    ip addr add $host_ip/30 dev $host_link
    ip link set $host_link up
    in_netns ip link set lo up
    in_netns ip addr add $link_ip/30 dev $node_link
    in_netns ip link set $node_link up
    in_netns ip link add $bridge type bridge
    in_netns ip addr add $node_ip/16 dev $bridge
    in_netns ip link set $bridge up
    # The node's own processes reach services too: the API server calls webhooks.
    in_netns ip route add $service_range dev $bridge
    in_netns sysctl -qw net.ipv4.ip_forward=1
    # A reply from one pod to another crosses only the bridge: without this it keeps the address of
    # the pod where the service's is expected.
    [ -e /proc/sys/net/bridge ] || modprobe br_netfilter
    in_netns sysctl -qw net.bridge.bridge-nf-call-iptables=1
    ip route add $pod_range via $link_ip
    ip route add $service_range via $link_ip
}

# A mount namespace too: its mounts are shared with the pods that ask for it, which a machine
# without systemd does not do by itself, and go with its last process.
make_mounts() {
    mkdir -p "$run/namespaces"
    mount --bind "$run/namespaces" "$run/namespaces"
    mount --make-private "$run/namespaces"
    touch "$run/namespaces/mount"
    unshare --mount="$run/namespaces/mount" --propagation shared true
}

start_control_plane() {
    local etcd=http://127.0.0.1:2379
    start etcd etcd --name="$node" --data-dir="$state/etcd" --unsafe-no-fsync --log-level=warn \
        --listen-client-urls=$etcd --advertise-client-urls=$etcd \
        --listen-peer-urls=http://127.0.0.1:2380
    start kube-apiserver kube-apiserver \
        --etcd-servers=$etcd --bind-address=0.0.0.0 --secure-port=6443 \
        --advertise-address=$node_ip --service-cluster-ip-range=$service_range \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
        --allow-privileged=true \
        --client-ca-file="$pki/ca.crt" \
        --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
        --kubelet-client-certificate="$pki/kubelet-client.crt" \
        --kubelet-client-key="$pki/kubelet-client.key" \
        --kubelet-preferred-address-types=InternalIP \
        --service-account-issuer=https://kubernetes.default.svc.cluster.local \
        --service-account-key-file="$pki/service-accounts.pub" \
        --service-account-signing-key-file="$pki/service-accounts.key" \
        --audit-policy-file="$state/audit-policy.yaml" --audit-log-path="$E2E_AUDIT_LOG" \
        --audit-log-maxsize=500 --audit-log-maxbackup=1
    await 60 "API server" kube-apiserver kubectl get --raw /readyz
    start kube-controller-manager kube-controller-manager \
        --kubeconfig="$state/controller-manager.kubeconfig" --leader-elect=false \
        --bind-address=127.0.0.1 --use-service-account-credentials \
        --service-account-private-key-file="$pki/service-accounts.key" \
        --root-ca-file="$pki/ca.crt" \
        --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
        --kube-api-qps=200 --kube-api-burst=400
}

start_node() {
    await 30 containerd containerd ctr version
    if ! ctr images ls -q | grep -qx localhost/pause:e2e; then
        "$here/image.sh" pause "$cache/bin/pause"
    fi
    say "containerd"
    start kube-scheduler kube-scheduler --kubeconfig="$state/scheduler.kubeconfig" \
        --leader-elect=false --bind-address=127.0.0.1
    start kubelet kubelet --config="$state/kubelet.yaml" \
        --kubeconfig="$state/kubelet.kubeconfig" --root-dir="$state/kubelet" \
        --cert-dir="$state/kubelet-pki" --hostname-override=$node --node-ip=$node_ip
    start kube-proxy kube-proxy --config="$state/kube-proxy.yaml" --hostname-override=$node
    start coredns coredns -conf "$state/Corefile"
    await 90 "node that is Ready" kubelet node_is_ready
    say "node is Ready"
}

node_is_ready() {
    [ "$(kubectl get node $node \
        -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = True ]
}

# A node that is Ready may still be unable to run anything: the first pod shows.
run_a_pod() {
    kubectl run probe --image=localhost/pause:e2e --image-pull-policy=Never --restart=Never >/dev/null
    await 90 "pod that runs" kubelet pod_runs
    kubectl delete pod probe --now --wait=false >/dev/null
    say "a pod runs"
}

pod_runs() {
    [ "$(kubectl get pod probe -o 'jsonpath={.status.phase}')" = Running ]
}

for program in etcd kube containerd:containerd; do
    command -v "${program#*:}" >/dev/null || {
        echo "there is no ${program#*:}: run e2e/cluster/build.sh (and scripts/setup.sh e2e)" >&2
        exit 1
    }
done
if runs_already; then
    echo "the cluster is up already"
    exit 0
fi
"$here/down.sh"
trap give_up EXIT
mkdir -p "$state/log" "$run"
make_network
make_mounts
make_certificates
write_configuration
say "network, certificates, configuration"
# containerd takes its time and needs nobody else.
[ "${#processes[@]}" -eq 3 ] || start containerd containerd --config="$state/containerd.toml"
start_control_plane
say "API server"
[ "${#processes[@]}" -eq 3 ] || start_node
await 30 "service account in the default namespace" kube-controller-manager kubectl get serviceaccount default
[ "${#processes[@]}" -eq 3 ] || run_a_pod
trap - EXIT
say "up: export KUBECONFIG=$KUBECONFIG"
