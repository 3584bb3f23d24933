#!/usr/bin/env bash
# Builds the container image, without a daemon: target/image/noetl-metrics.tar, an OCI archive.
# From scratch: the program, linked statically, and the public certificate authorities for TLS to
# databases and servers. It runs as user 65532. Beside it, the list of all that it holds: the same name
# with .cdx.json, CycloneDX; none of a program that was there already, as nobody knows what that is of.
#
# Environment: PROFILE (dist: what is shipped; release or e2e: built in less time), VERSION (the tag; the
# crate's version), IMAGE (the name; localhost/noetl-metrics), FROM_BINARY (a static program that is
# there already), ARCHIVE (its path), MAX_MB (25).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=${PROFILE:-dist}
version=${VERSION:-$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)}
image=${IMAGE:-localhost/noetl-metrics}:$version
archive=${ARCHIVE:-target/image/noetl-metrics.tar}
sbom=${archive%.tar}.cdx.json
features=(--no-default-features)
authorities=/etc/ssl/certs/ca-certificates.crt
triple=$(uname -m)-unknown-linux-gnu
folder=${CARGO_TARGET_DIR:-target}/image-build

# A folder of its own: flags for the linker are part of what cargo takes for "the same build". The
# triple is named, or the flags would reach build scripts and procedural macros, which are loaded
# and cannot be static.
build_static() {
    local began=$SECONDS
    RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=$folder \
        cargo build --locked --bin noetl-metrics "${features[@]}" \
        --profile "$profile" --target "$triple"
    printf 'built the program (%s) in %d s\n' "$profile" $((SECONDS - began))
}

if [ -z "${FROM_BINARY:-}" ]; then
    build_static
    binary=$folder/$triple/$profile/noetl-metrics
else
    binary=$FROM_BINARY
fi
if readelf -l "$binary" | grep -q INTERP; then
    echo "$binary is not static: an image from scratch could not run it" >&2
    exit 1
fi

began=$SECONDS
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 755 "$stage"
install -m 755 "$binary" "$stage/noetl-metrics"
strip "$stage/noetl-metrics"
install -D -m 644 "$authorities" "$stage/etc/ssl/certs/ca-certificates.crt"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH
scripts/oci.sh "$stage" "$image" "$archive" \
    --entrypoint '["/noetl-metrics"]' --user 65532:65532 --port 8082 \
    --label "org.opencontainers.image.title=noetl-metrics" \
    --label "org.opencontainers.image.version=$version" \
    --label "org.opencontainers.image.licenses=Apache-2.0" \
    --label "org.opencontainers.image.revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)"

rm -f "$sbom"
if [ -z "${FROM_BINARY:-}" ]; then
    python3 scripts/sbom.py "$stage" "$image" "$sbom" --target "$triple" "${features[@]}"
fi

bytes=$(stat -c %s "$archive")
printf '%s: %s, %d.%d MB (program %d.%d MB), in %d s\n' "$archive" "$image" \
    $((bytes / 1000000)) $((bytes / 100000 % 10)) \
    $(($(stat -c %s "$stage/noetl-metrics") / 1000000)) \
    $(($(stat -c %s "$stage/noetl-metrics") / 100000 % 10)) $((SECONDS - began))
if [ "$bytes" -ge $((${MAX_MB:-25} * 1000000)) ]; then
    echo "the image is larger than ${MAX_MB:-25} MB" >&2
    exit 1
fi
