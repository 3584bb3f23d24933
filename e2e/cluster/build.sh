#!/usr/bin/env bash
# Builds the programs of the test cluster from the Go modules in tools/, and generates the CRDs
# that come with them, into the cache (env.sh). What was built from the same files is left alone.
#
#   build.sh             everything
#   build.sh kubernetes  one of tools/
#
# A first build takes some fifteen minutes on two cores and leaves 4 to 5 GB in Go's own cache.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=e2e/cluster/env.sh
source "$here/env.sh"

command -v go >/dev/null || {
    echo "there is no Go: run scripts/setup.sh e2e, which says how to get one" >&2
    exit 1
}
# The versions are those of go.mod, and no environment changes what is built.
export CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off
mkdir -p "$cache"/{bin,crds,stamps}

# compile PROGRAM PACKAGE [LINKER-FLAGS]: links one package into the cache. The old program is
# replaced, not written into: it may be running.
compile() {
    go build -trimpath -buildvcs=false -tags remove_all_sd,enable_kubernetes_sd \
        -ldflags "-s -w ${3:-}" -o "$cache/bin/$1.new" "$2"
    mv "$cache/bin/$1.new" "$cache/bin/$1"
}

module_folder() { go list -m -f '{{.Dir}}' "$1"; }

build_kubernetes() {
    local version package flags=
    version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
    # Without these the programs take themselves for v0.0.0, and clients believe them.
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1"
        flags+=" -X $package.gitMinor=$(cut -d. -f2 <<<"$version")"
    done
    compile kube ./kube "$flags"
    local name
    for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do
        ln -sf kube "$cache/bin/$name"
    done
    compile coredns ./coredns
    compile etcd go.etcd.io/etcd/server/v3
    compile helm helm.sh/helm/v4/cmd/helm
    compile prometheus github.com/prometheus/prometheus/cmd/prometheus
    cc -Os -static -o "$cache/bin/pause" "$(module_folder k8s.io/kubernetes)/build/pause/linux/pause.c"
}

# Of it only the firewall is used: policies.sh.
build_kube-router() {
    compile kube-router github.com/cloudnativelabs/kube-router/v2/cmd/kube-router
}

# The newest whose module has the pages that it wants to be built with.
build_alertmanager() {
    compile alertmanager github.com/prometheus/alertmanager/cmd/alertmanager
}

# Not of the cluster: the partner tests send through it.
build_otelcol() {
    compile otelcol .
}

build_victoriametrics() {
    local name
    for name in victoria-metrics vmagent vmalert; do
        compile "$name" "github.com/VictoriaMetrics/VictoriaMetrics/app/$name"
    done
}

build_prometheus-operator() {
    local module=github.com/prometheus-operator/prometheus-operator
    compile prometheus-operator $module/cmd/operator
    compile prometheus-config-reloader $module/cmd/prometheus-config-reloader
    fill crds/prometheus cp "$(module_folder $module)"/example/prometheus-operator-crd/*.yaml
}

# VictoriaMetrics' operator itself is not served as a module; its API is, and the CRDs are made
# of that. Without descriptions they fit into the annotation that `kubectl apply` writes.
build_vm-crds() {
    fill crds/victoriametrics generate_vm_crds
}

generate_vm_crds() {
    go tool controller-gen crd:maxDescLen=0 output:crd:dir="$1" \
        paths=github.com/VictoriaMetrics/operator/api/operator/...
}

# fill FOLDER COMMAND...: makes the folder anew with what the command, given it, puts there.
fill() {
    local folder=$cache/$1
    shift
    rm -rf "$folder"
    mkdir -p "$folder"
    "$@" "$folder"
    chmod -R u+w "$folder"
}

# build NAME: if its files are other than at the last build.
build() {
    local name=$1 began=$SECONDS stamp
    [ -d "$here/tools/$name" ] || {
        echo "there is no $here/tools/$name" >&2
        return 1
    }
    stamp=$(cd "$here" && find "tools/$name" build.sh -type f -print0 | sort -z |
        xargs -0 sha256sum | sha256sum)
    [ "$(cat "$cache/stamps/$name" 2>/dev/null)" != "$stamp" ] || return 0
    echo "building $name (once; Go's own progress is silent)"
    (cd "$here/tools/$name" && "build_$name")
    echo "$stamp" >"$cache/stamps/$name"
    echo "built $name in $((SECONDS - began)) s"
}

[ $# -gt 0 ] || set -- kubernetes victoriametrics prometheus-operator vm-crds kube-router alertmanager
for name in "$@"; do
    build "$name"
done
