#!/usr/bin/env bash
# Makes the images that the cases run beside ours, from scratch, into the cache: PostgreSQL of the
# distribution's package, VictoriaMetrics' programs, Prometheus, its operator, Alertmanager, what the operator puts
# beside it, and NoETL itself where noetl/build.sh made it. OCI archives, to be imported into a
# cluster's nodes or pushed to its registry. What was made from the same programs is left alone.
set -euo pipefail
e2e=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=e2e/cluster/env.sh
source "$e2e/cluster/env.sh"
images=$cache/images
mkdir -p "$images"

# image NAME SOURCE... -- COMMAND...: runs the command, which fills $stage and says in `options` how
# the image starts, unless the sources are those of the last time.
image() {
    local name=$1 stamp began=$SECONDS sources=()
    shift
    while [ "$1" != -- ]; do
        sources+=("$1")
        shift
    done
    shift
    stamp=$(cat "${sources[@]}" "$e2e/images.sh" "$e2e/../scripts/oci.sh" | sha256sum)
    [ "$(cat "$images/$name.stamp" 2>/dev/null)" != "$stamp" ] || return 0
    stage=$(mktemp -d)
    chmod 755 "$stage"
    options=(--user 65532:65532)
    "$@"
    "$e2e/../scripts/oci.sh" "$stage" "localhost/$name:e2e" "$images/$name.tar" "${options[@]}"
    rm -rf "$stage"
    echo "$stamp" >"$images/$name.stamp"
    echo "made the image $name in $((SECONDS - began)) s"
}

# One static program, in /bin: Prometheus' operator calls what it starts by that path.
program() {
    install -D -m 755 "$cache/bin/$1" "$stage/bin/$1"
    options+=(--entrypoint "[\"/bin/$1\"]")
}

# Libraries of every program and module in the image, at their own paths; the loader among them. ldd
# fails where a file is no program, which is no matter.
libraries() {
    local file
    { find "$stage" -type f \( -perm -u+x -o -name '*.so' \) -exec ldd {} + 2>/dev/null || true; } |
        grep -o '/[^ ]*\.so[^ :]*' | sort -u |
        while read -r file; do
            [[ $file == "$stage"* ]] || install -D -m 755 "$(readlink -f "$file")" "$stage$file"
        done
}

# The programs, what they load, and the shell that initdb calls.
postgres() {
    local bin=$1 version
    version=$(basename "$(dirname "$bin")")
    mkdir -p "$stage"/{bin,tmp,var/lib/postgresql,run/postgresql,usr/lib/postgresql,usr/share/postgresql,usr/share/zoneinfo}
    chmod 1777 "$stage/tmp"
    cp -r "$(dirname "$bin")" "$stage/usr/lib/postgresql/$version"
    # Without just-in-time compilation, which brings the whole of LLVM.
    rm -rf "$stage/usr/lib/postgresql/$version/lib"/{bitcode,pgxs,llvmjit*}
    cp -r "/usr/share/postgresql/$version" "$stage/usr/share/postgresql/"
    cp -rL /usr/share/zoneinfo/{UTC,Etc} "$stage/usr/share/zoneinfo/"
    cp -L /bin/sh "$stage/bin/sh"
    install -m 755 "$e2e/support/postgres.sh" "$stage/postgres.sh"
    libraries
    mkdir -p "$stage/etc"
    echo "postgres:x:65532:65532::/var/lib/postgresql:/bin/sh" >"$stage/etc/passwd"
    echo "postgres:x:65532:" >"$stage/etc/group"
    options+=(--entrypoint '["/bin/sh", "/postgres.sh"]'
        --env "PATH=/usr/lib/postgresql/$version/bin:/bin" --env PGDATA=/var/lib/postgresql/data)
}

for name in victoria-metrics vmagent vmalert prometheus prometheus-operator prometheus-config-reloader \
    alertmanager; do
    image "$name" "$cache/bin/$name" -- program "$name"
done

# The newest that the distribution's packages have.
bin=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin | sort -V | tail -n1)
[ -x "$bin/postgres" ] || {
    echo "PostgreSQL's programs are missing; run scripts/setup.sh e2e" >&2
    exit 1
}
image postgres "$bin/postgres" "$e2e/support/postgres.sh" -- postgres "$bin"

# NoETL's server and worker, and NATS between them: a container says which of them it is. Its shell
# is for playbooks, and for a test that ends what they wait for.
noetl() {
    install -D -m 755 -t "$stage/bin" "$@" /bin/sh /bin/sleep /bin/touch
    mkdir -m 1777 "$stage/tmp"
    libraries
    options+=(--env PATH=/bin)
}

if not_built=$("$e2e/noetl/build.sh" --ready); then
    programs=("$cache"/bin/{noetl-control-plane,noetl-worker,nats-server})
    image noetl "${programs[@]}" -- noetl "${programs[@]}"
else
    echo "no image of NoETL is made: $not_built"
fi

# VictoriaMetrics' operator, where somebody has one.
if [ -n "${E2E_VM_OPERATOR:-}" ]; then
    vm_operator() {
        install -D -m 755 "$E2E_VM_OPERATOR" "$stage/vm-operator"
        options+=(--entrypoint '["/vm-operator"]')
    }
    image vm-operator "$E2E_VM_OPERATOR" -- vm_operator
fi
