#!/usr/bin/env bash
# The Rust tests. With RERUNS=2, as .ci/run says it, a contract test that failed is run once more,
# where no more than two did: those run real programs beside each other, and a busy machine's pauses
# are longer than some of them bear. What was so is said at the end. No other test gets a second run:
# a unit's, a random history's or a fault's failure is one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ -n "${RERUNS:-}" ] || exec cargo test --locked

said=$(mktemp)
trap 'rm -f "$said"' EXIT
status=0
cargo test --locked --no-fail-fast 2>&1 | tee "$said" || status=$?
[ "$status" -ne 0 ] || exit 0

# cargo ends with the targets that failed, a test program with the names of its tests.
mapfile -t targets < <(awk -F '`' '/^    `--.*`$/ { print $2 }' "$said")
mapfile -t failed < <(awk '
    /^failures:$/ { count = 0 }
    /^    [a-z0-9_:]+$/ { names[count++] = $1 }
    /^test result: FAILED/ { for (i = 0; i < count; i++) print names[i] }' "$said")
if [ "${targets[*]}" != "--test contract" ] || [ ${#failed[@]} -eq 0 ] || [ ${#failed[@]} -gt "$RERUNS" ]; then
    exit "$status"
fi
printf '\n== once more: %s\n' "${failed[*]}"
cargo test --locked --test contract -- --exact "${failed[@]}"
printf 'flaky, failed once and passed when run again: %s\n' "${failed[@]}"
