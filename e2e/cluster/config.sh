# Certificates and configuration files of the cluster. Sourced by up.sh.
# shellcheck shell=bash disable=SC2154

pki=$state/pki

# Certificates outlive a cluster: they are made where there are none.
make_certificates() {
    mkdir -p "$pki"
    if [ ! -e "$pki/ca.crt" ]; then
        new_key ca
        new_key service-accounts
        openssl ec -in "$pki/service-accounts.key" -pubout -out "$pki/service-accounts.pub" 2>/dev/null
        openssl req -x509 -new -key "$pki/ca.key" -subj /CN=e2e -days 3650 -out "$pki/ca.crt"
    fi
    local service=kubernetes.default.svc
    certificate apiserver /CN=kube-apiserver "DNS:kubernetes,DNS:kubernetes.default,DNS:$service,DNS:$service.cluster.local,DNS:localhost,IP:$kubernetes_ip,IP:$node_ip,IP:$link_ip,IP:127.0.0.1"
    certificate kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
    kubeconfig admin /O=system:masters/CN=admin
    kubeconfig controller-manager /CN=system:kube-controller-manager
    kubeconfig scheduler /CN=system:kube-scheduler
    kubeconfig kubelet "/O=system:nodes/CN=system:node:$node"
    kubeconfig kube-proxy /CN=system:kube-proxy
    # Whoever called sudo is to use the cluster too.
    chown "${SUDO_UID:-0}:${SUDO_GID:-0}" "$KUBECONFIG"
}

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$pki/$1.key"; }

# certificate NAME SUBJECT [ALTERNATIVE-NAMES]
certificate() {
    [ ! -e "$pki/$1.crt" ] || return 0
    new_key "$1"
    openssl req -new -key "$pki/$1.key" -subj "$2" |
        openssl x509 -req -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 3650 \
            -out "$pki/$1.crt" 2>/dev/null -extfile <(
                echo "extendedKeyUsage=clientAuth,serverAuth"
                [ -z "${3:-}" ] || echo "subjectAltName=$3"
            )
}

# kubeconfig NAME SUBJECT
kubeconfig() {
    certificate "$1" "$2"
    (
        umask 077
        cat >"$state/$1.kubeconfig" <<END
apiVersion: v1
kind: Config
current-context: e2e
contexts: [{name: e2e, context: {cluster: e2e, user: "$1"}}]
clusters:
  - name: e2e
    cluster:
      server: https://$node_ip:6443
      certificate-authority-data: $(base64 -w0 "$pki/ca.crt")
users:
  - name: "$1"
    user:
      client-certificate-data: $(base64 -w0 "$pki/$1.crt")
      client-key-data: $(base64 -w0 "$pki/$1.key")
END
    )
}

write_configuration() {
    # Who wrote what, for the tests that ask whether somebody is quiet; and what accounts other than
    # the cluster's own read, to find out which of their rights they use.
    cat >"$state/audit-policy.yaml" <<END
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    verbs: [create, update, patch, delete, deletecollection]
  - level: None
    userGroups: ["system:serviceaccounts:kube-system"]
  - level: Metadata
    userGroups: ["system:serviceaccounts"]
  - level: None
END
    # restrict_oom_score_adj: a root without CAP_SYS_RESOURCE, as in a container, may not lower
    # the score, and no pod would start.
    cat >"$state/containerd.toml" <<END
version = 2
root = "$state/containerd"
state = "$run/containerd"
[grpc]
  address = "$CONTAINERD_ADDRESS"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:e2e"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$state/cni"
END
    mkdir -p "$state/cni"
    cat >"$state/cni/10-e2e.conflist" <<END
{
  "cniVersion": "1.0.0",
  "name": "noetl-e2e",
  "plugins": [
    {
      "type": "bridge", "bridge": "$bridge", "isGateway": true, "hairpinMode": true,
      "ipam": {
        "type": "host-local", "dataDir": "$run/addresses",
        "ranges": [[{"subnet": "$pod_range", "gateway": "$node_ip"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
END
    echo "nameserver 127.0.0.1" >"$state/resolv.conf"
    # cgroup v1 is still what some machines have. Images are brought by hand and can't be pulled
    # again, so none may be collected; and a full disk of the machine is not the tests' business.
    cat >"$state/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $pki/ca.crt}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix://$CONTAINERD_ADDRESS
clusterDNS: [$node_ip]
clusterDomain: cluster.local
resolvConf: $state/resolv.conf
podLogsDir: $state/pod-logs
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
END
    # maxPerCore 0: a network namespace may not change the machine's limit.
    cat >"$state/kube-proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $state/kube-proxy.kubeconfig}
clusterCIDR: $pod_range
conntrack: {maxPerCore: 0}
END
    cat >"$state/Corefile" <<END
.:53 {
    bind $node_ip
    errors
    kubernetes cluster.local {
        kubeconfig $KUBECONFIG
        pods insecure
    }
}
END
}
