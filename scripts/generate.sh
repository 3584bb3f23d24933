#!/usr/bin/env bash
# Writes the files that are made from the program: docs/openapi.json, docs/cli.md and
# crds/noetlmetrics.yaml.
#
#   scripts/generate.sh           writes them
#   scripts/generate.sh --check   fails where a committed one is not what the program says now
#
# The program is $NOETL_METRICS_BIN, else the debug build.
# shellcheck disable=SC2016 # backquotes are Markdown here
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

program=${NOETL_METRICS_BIN:-${CARGO_TARGET_DIR:-target}/debug/noetl-metrics}

# The program with nothing of this shell's about it: no variables (help shows their values), no
# terminal (help is wrapped to its width).
plainly() { env -i COLUMNS=100 "$program" "$@" </dev/null 2>&1; }

subcommands() { plainly "$@" --help | awk '/^Commands:/ { on = 1; next } /^$/ { on = 0 } on && /^  [a-z]/ && $1 != "help" { print $1 }'; }

help_of() { printf '\n## `%s`\n\n```text\n%s\n```\n' "$1" "$(plainly "${@:2}" --help | sed 's/ *$//')"; }

command_line() {
    printf '# Command line\n\n%s\n' 'What `--help` says, for each role. Made by `make generate`.'
    help_of noetl-metrics
    local subcommand nested
    for subcommand in $(subcommands); do
        help_of "noetl-metrics $subcommand" "$subcommand"
        for nested in $(subcommands "$subcommand"); do
            help_of "noetl-metrics $subcommand $nested" "$subcommand" "$nested"
        done
    done
}

new=$(mktemp -d)
trap 'rm -r "$new"' EXIT
mkdir "$new/docs" "$new/crds"
plainly openapi >"$new/docs/openapi.json"
command_line >"$new/docs/cli.md"
plainly crd >"$new/crds/noetlmetrics.yaml"

for file in docs/openapi.json docs/cli.md crds/noetlmetrics.yaml; do
    if [ "${1:-}" = --check ]; then
        diff -u "$file" "$new/$file" || {
            echo "$file is not what the program says; run: make generate" >&2
            exit 1
        }
    else
        mkdir -p "${file%/*}"
        cp "$new/$file" "$file"
    fi
done
