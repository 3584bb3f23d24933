#!/bin/sh
# PostgreSQL in a pod: makes a database cluster where there is none, for the role and the password
# that POSTGRES_USER and POSTGRES_PASSWORD name and a database of the role's name, and runs it.
set -eu

if [ ! -e "$PGDATA/PG_VERSION" ]; then
    # The shell's own means only: the image has no other programs.
    echo "$POSTGRES_PASSWORD" >/tmp/password
    initdb --auth=scram-sha-256 --username="$POSTGRES_USER" --pwfile=/tmp/password \
        --encoding=UTF8 --locale=C --no-sync
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE \"$POSTGRES_USER\";" |
        postgres --single -D "$PGDATA" postgres >/dev/null
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp -c fsync=off \
    -c shared_buffers=64MB -c timezone=UTC -c log_connections=off "$@"
