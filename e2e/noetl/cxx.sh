#!/usr/bin/env bash
# The C++ compiler for NoETL's worker, less DuckDB. A crate of the worker brings DuckDB's sources,
# half an hour of C++ for a tool that no case calls. Each of those files becomes an empty object,
# and the one with the C API a stub: opening and closing a database in memory, which the worker does
# when it starts, succeeds and does nothing; all else ends the process with a word. Everything else
# goes to the real compiler.
set -euo pipefail

source='' object=''
arguments=("$@")
for i in "${!arguments[@]}"; do
    case ${arguments[i]} in
        */out/duckdb/*.cpp) source=${arguments[i]} ;;
        -o) object=${arguments[i + 1]} ;;
    esac
done
[ -n "$source" ] && [ -n "$object" ] || exec g++ "$@"

# Every function that the header declares, as C, where a name is enough to link with.
stub() {
    printf '#include <stdio.h>\n#include <stdlib.h>\n'
    printf 'static int lost(const char *name) {\n'
    printf '    fprintf(stderr, "DuckDB was left out of this build: %%s\\n", name);\n    abort();\n}\n'
    grep -o '^DUCKDB_C_API .*[ *]duckdb_[a-z0-9_]*(' "$1" | grep -o 'duckdb_[a-z0-9_]*($' | tr -d '(' |
        sort -u |
        while read -r name; do
            case $name in
                duckdb_create_config | duckdb_set_config | duckdb_destroy_config | duckdb_open | \
                    duckdb_open_ext | duckdb_connect | duckdb_disconnect | duckdb_close)
                    printf 'int %s() { return 0; }\n' "$name"
                    ;;
                *) printf 'int %s() { return lost("%s"); }\n' "$name" "$name" ;;
            esac
        done
}

case $source in
    */ub_src_main_capi.cpp) stub "$(dirname "$source")/src/include/duckdb.h" ;;
    *) ;;
esac | cc -O0 -fPIC -x c -c -o "$object" -
