#!/usr/bin/env bash
# Offers each resource of this folder to the API server of $KUBECONFIG, which has to refuse it with
# the words behind `# expect:`. Nothing is kept. Of a file with two documents the first is made and
# has to be taken, the second, a change of it, refused.
#
#   run.sh [NAMESPACE]      `default` where none is given; the definition must be installed
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
namespace=${1:-default}
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT

offer() { kubectl apply --namespace "$namespace" --validate=strict "$@" 2>&1; }

# Says why a file is not refused as it should be, or nothing.
wrong_with() {
    local file=$1 expected answer
    expected=$(sed -n 's/^# expect: //p' "$file")
    [ -n "$expected" ] || { echo "no '# expect:'" && return; }
    awk -v dir="$scratch" 'BEGIN { n = 1 } /^---$/ { n++; next } { print >(dir "/" n) }' "$file"
    if [ -e "$scratch/2" ]; then
        answer=$(offer -f "$scratch/1") || echo "the first is refused: $answer"
        answer=$(offer --dry-run=server -f "$scratch/2") && echo "it is taken"
        kubectl delete --namespace "$namespace" -f "$scratch/1" >/dev/null
    else
        answer=$(offer --dry-run=server -f "$scratch/1") && echo "it is taken"
    fi
    rm -f "$scratch"/*
    [[ $answer == *"$expected"* ]] || printf 'expected: %s\nanswer: %s\n' "$expected" "$answer"
}

count=0 failed=0
for file in "$here"/*.yaml; do
    count=$((count + 1))
    problem=$(wrong_with "$file" || true)
    [ -z "$problem" ] || {
        failed=$((failed + 1))
        printf '%s\n%s\n\n' "${file##*/}" "$problem"
    }
done
echo "$((count - failed)) of $count bad resources are refused with the field and the reason"
[ "$count" -ge 40 ] && [ "$failed" = 0 ]
