#!/usr/bin/env bash
# Enforces network policies in the running cluster, or ends that. Without it every pod reaches every
# other one, whatever a policy says.
#
#   policies.sh on    starts the firewall of kube-router, and nothing else of it; its rules are there
#   policies.sh off   ends it, and takes its rules away
#
# Exits with 69, and says why, where it can't be done here.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=e2e/cluster/lib.sh
source "$here/lib.sh"
as_root "$@"

# The kernel's sets of addresses, and the match that asks them.
tries_sets() {
    in_netns ipset create able hash:ip || return
    local status=0
    in_netns iptables -A OUTPUT -m set --match-set able src -j ACCEPT &&
        in_netns iptables -D OUTPUT -m set --match-set able src -j ACCEPT || status=$?
    in_netns ipset destroy able
    return $status
}

has_rules() { in_netns iptables-save -t filter | grep KUBE-NWPLCY >/dev/null; }

# The tables filter and mangle have nothing but its chains: kube-proxy has a table of its own.
remove_rules() {
    local family table
    for family in iptables ip6tables; do
        for table in filter mangle; do
            in_netns $family -t $table -F
            in_netns $family -t $table -X
        done
    done
    in_netns ipset destroy
}

case ${1:-} in
    on)
        for program in kube-router ipset iptables; do
            command -v $program >/dev/null || {
                echo "there is no $program: run scripts/setup.sh e2e and e2e/cluster/build.sh" >&2
                exit 69
            }
        done
        said=$(tries_sets 2>&1) || {
            echo "this kernel has no sets of addresses for iptables: $said" >&2
            exit 69
        }
        # IPv6 is not in use here, nor BGP, nor its proxy of services.
        start kube-router kube-router --run-firewall=true --run-router=false --run-service-proxy=false \
            --kubeconfig="$KUBECONFIG" --hostname-override=$node --enable-ipv6=false \
            --service-cluster-ip-range=$service_range --metrics-port=0 --health-port=0
        until_true 30 "rules of network policies" has_rules || {
            last_words kube-router
            stop TERM kube-router
            remove_rules
            exit 1
        }
        ;;
    off)
        stop TERM kube-router
        remove_rules
        ;;
    *)
        echo "usage: policies.sh on|off" >&2
        exit 2
        ;;
esac
