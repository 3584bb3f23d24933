# Where things are, and what they are called. Sourced by the scripts beside it; for a shell of
# one's own: source e2e/cluster/env.sh, then kubectl and helm talk to the cluster.
# shellcheck shell=bash disable=SC2034

cache=${XDG_CACHE_HOME:-$HOME/.cache}/noetl-metrics-e2e # programs, CRDs and images: kept between runs
state=${E2E_STATE:-/var/lib/noetl-metrics-e2e}           # what a running cluster writes
run=/run/noetl-metrics-e2e                               # sockets (their path has to be short) and pids

# One cluster at a time: these names and addresses are the machine's. The three ranges are seen
# from nowhere but this machine.
netns=noetl-e2e
host_link=noetl-e2e-h node_link=noetl-e2e-n bridge=noetl-e2e-b
node="e2e-node"
host_ip=10.231.0.1 link_ip=10.231.0.2     # the link between the machine and the cluster
pod_range=10.232.0.0/16 node_ip=10.232.0.1 # pods; the node has the first address
service_range=10.233.0.0/16 kubernetes_ip=10.233.0.1

export PATH=$cache/bin:$PATH:/usr/local/go/bin:/usr/sbin:/sbin
export KUBECONFIG=$state/admin.kubeconfig
export CONTAINERD_ADDRESS=$run/containerd.sock CONTAINERD_NAMESPACE=k8s.io
export E2E_AUDIT_LOG=$state/log/audit.log
