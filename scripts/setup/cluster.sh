# What the end-to-end tests need of the system: a Go toolchain, and the programs that a Kubernetes
# node runs on. Nothing of it is started here. Sourced by scripts/setup.sh.
# shellcheck shell=bash

# What the modules in e2e/cluster ask for.
go_minor=26

want_go() {
    PATH=$PATH:/usr/local/go/bin
    has_go && return
    local packaged
    packaged=$(candidate golang-go)
    packaged=${packaged#*:1.}
    if [ "${packaged%%[!0-9]*}" -ge "$go_minor" ] 2>/dev/null; then
        want golang-go "programs that the tests run are built from Go modules"
        return
    fi
    die "there is no Go 1.$go_minor or newer, of which the test cluster's programs are built," \
        "and the distribution's is older. Unpack one from https://go.dev/dl to /usr/local/go" \
        "(or put its bin folder into PATH), then run the command again."
}

has_go() {
    local version
    version=$(go env GOVERSION 2>/dev/null) || return 1
    version=${version#go1.}
    [ "${version%%[!0-9]*}" -ge "$go_minor" ]
}

# want_program PROGRAM PACKAGE REASON
want_program() {
    PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null || want "$2" "$3"
}

want_image_builder() {
    want_program buildah buildah "images are built with it, without a daemon"
    [ "$EUID" -eq 0 ] || want_program newuidmap uidmap "lets buildah work without root"
    want_program python3 python3 "lists what the image holds"
    [ -e /etc/ssl/certs/ca-certificates.crt ] ||
        want ca-certificates "the image carries the public certificate authorities"
}

want_node() {
    want_image_builder
    want_program jq jq "the cluster's scripts read JSON"
    want_program ip iproute2 "the test cluster lives in a network namespace of its own"
    want_program nsenter util-linux "the same"
    want_program openssl openssl "the test cluster makes its own certificates"
    want_program containerd containerd "runs the containers of the test cluster"
    want_program runc runc "the same"
    want_program nft nftables "programs the test cluster's services"
    want_program iptables iptables "forwards the host ports of its pods"
    want_program conntrack conntrack "the same"
    want_program ipset ipset "holds the addresses that the test cluster's network policies name"
    [ -x /usr/lib/cni/bridge ] || want containernetworking-plugins "connects the test cluster's pods"
}
