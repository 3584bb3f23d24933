# PostgreSQL's programs. The demo and the tests make database clusters of their own, in folders of
# their own; the distribution's service is neither needed nor wanted.
# Sourced by scripts/setup.sh.
# shellcheck shell=bash

want_postgres() {
    has_postgres && return
    want postgresql "the demo and the tests run their own PostgreSQL from its programs"
    keep_cluster_away
}

has_postgres() {
    local bin
    for bin in "${PG_BIN:-}" "$(dirname "$(command -v initdb || echo /)")" /usr/lib/postgresql/*/bin; do
        [ -x "$bin/initdb" ] && [ -x "$bin/postgres" ] && return
    done
    return 1
}

# Debian's package would make a cluster and start it on port 5432. The file that says so is written
# only where nobody has one: an installation that somebody set up stays as it is.
keep_cluster_away() {
    local conf=/etc/postgresql-common/createcluster.conf
    command -v apt-get >/dev/null || return 0
    if [ -e "$conf" ]; then
        grep -Eq '^ *create_main_cluster *= *(false|off|no)' "$conf" ||
            say "  ($conf is there and stays as it is; the package may start a cluster)"
        return
    fi
    say "  (without a cluster of its own: create_main_cluster = false in $conf)"
    need_root "install -D /dev/stdin $conf   # with the line: create_main_cluster = false"
    printf '%s\n' '# Written by the set-up of NoETL Metrics: programs only, no cluster.' \
        'create_main_cluster = false' | "${become_root[@]}" install -D -m 644 /dev/stdin "$conf"
}
