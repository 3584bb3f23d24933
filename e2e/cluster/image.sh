#!/usr/bin/env bash
# Brings images into the running cluster's node:
#
#   image.sh ARCHIVE.tar...   imports OCI archives
#   image.sh NAME PROGRAM     makes localhost/NAME:e2e of one static program, and imports it
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=e2e/cluster/lib.sh
source "$here/lib.sh"
as_root "$@"

import() { ctr images import --snapshotter overlayfs "$1" >/dev/null; }

case ${1:-} in
    *.tar)
        for archive in "$@"; do
            import "$archive"
        done
        ;;
    ?*)
        folder=$(mktemp -d)
        trap 'rm -rf "$folder"' EXIT
        install -D "$2" "$folder/content/$1"
        "$here/../../scripts/oci.sh" "$folder/content" "localhost/$1:e2e" "$folder/image.tar" \
            --entrypoint "[\"/$1\"]" --user 65532:65532
        import "$folder/image.tar"
        ;;
    *)
        echo "usage: image.sh ARCHIVE.tar..., or image.sh NAME PROGRAM" >&2
        exit 2
        ;;
esac
