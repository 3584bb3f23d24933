#!/usr/bin/env bash
# The compiler as `make fuzz` calls it: our own library, and nothing that it is built of, counts which of
# its edges were run, for libFuzzer to see what is new. What cargo passes has to stay as it is, so that all
# crates that `make test` has built are used again.
set -euo pipefail

case " $* " in
*" --crate-name noetl_metrics "*" --crate-type lib "*)
    exec "$@" -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
esac
exec "$@"
