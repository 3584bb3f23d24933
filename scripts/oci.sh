#!/usr/bin/env bash
# Makes an image from scratch, without a daemon and without a network: one layer, the content of a
# folder, owned by root.
#
#   scripts/oci.sh FOLDER NAME:TAG ARCHIVE.tar [option of `buildah config`...]
set -euo pipefail
folder=$1 name=$2 archive=$3
shift 3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Storage of its own, in plain folders: nothing of the machine's containers is touched, and no
# mount is needed. Without root buildah wants a user namespace of its own.
build() { buildah --storage-driver vfs --root "$work/root" --runroot "$work/run" "$@"; }

container=$(build from scratch)
build copy --quiet --chown 0:0 "$container" "$folder" / >/dev/null
build config --created-by "$name" "$@" "$container"
# The date is the source's, so that the same files make the same image.
build commit --quiet --timestamp "${SOURCE_DATE_EPOCH:-0}" "$container" "$name" >/dev/null
mkdir -p "$(dirname "$archive")"
rm -f "$archive.new"
build push --quiet "$name" "oci-archive:$archive.new:$name"
mv "$archive.new" "$archive"
