#!/usr/bin/env bash
# Installs what one of the make targets needs, on Debian and Ubuntu.
#
#   scripts/setup.sh build   a C compiler and cargo
#   scripts/setup.sh run     build, and PostgreSQL's programs
#   scripts/setup.sh test    run, and the partners of the tests: Python packages, Prometheus,
#                            Alertmanager, VictoriaMetrics, PgBouncer, Chromium, libfaketime
#   scripts/setup.sh fuzz    build, and what libFuzzer is built with
#   scripts/setup.sh generate  build, and the Python packages
#   scripts/setup.sh docs    build, the Python packages, mdBook
#   scripts/setup.sh lint    build, the Python packages, cargo-deny
#   scripts/setup.sh image   build, and what makes the container image
#   scripts/setup.sh e2e     image, PostgreSQL's programs, the Python packages, and what the
#                            one-machine Kubernetes is built of and runs on
#   scripts/setup.sh programs  what the programs of that Kubernetes are built with
#   scripts/setup.sh profile what samples the program and draws what it saw
#   scripts/setup.sh noetl   what NoETL itself and its NATS server are built with
#
# It says each thing before it does it, asks nothing, starts no service, and changes nothing where
# all is there already. It needs root, or sudo, only where a package is missing. What does not have
# to be installed in the system goes to .cache/ in this folder; `make clean` removes it.
#
# Environment: PG_BIN (folder of PostgreSQL's programs), PYTHON (interpreter, 3.10 or newer),
# CHROMIUM (browser), CARGO_HOME.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache
cd "$root"

# shellcheck source=scripts/setup/packages.sh
source scripts/setup/packages.sh
# shellcheck source=scripts/setup/rust.sh
source scripts/setup/rust.sh
# shellcheck source=scripts/setup/postgres.sh
source scripts/setup/postgres.sh
# shellcheck source=scripts/setup/python.sh
source scripts/setup/python.sh
# shellcheck source=scripts/setup/partners.sh
source scripts/setup/partners.sh
# shellcheck source=scripts/setup/cluster.sh
source scripts/setup/cluster.sh

# Each part first says which packages it lacks (`want_…`), so that one apt-get call brings them
# all; what is built on those packages (`make_…`) follows.
case ${1:-} in
    build)
        want_rust
        install_wanted
        ;;
    run)
        want_rust
        want_postgres
        install_wanted
        ;;
    test)
        want_rust
        want_postgres
        want_python
        want_chromium
        want_faketime
        install_wanted
        make_venv
        make_daemons
        make_chromium
        ;;
    fuzz)
        want_rust
        want_libfuzzer
        install_wanted
        ;;
    generate)
        want_rust
        want_python
        install_wanted
        make_venv
        ;;
    docs)
        want_rust
        want_python
        install_wanted
        make_venv
        make_mdbook
        ;;
    lint)
        want_rust
        want_python
        install_wanted
        make_venv
        make_cargo_deny
        ;;
    image)
        want_rust
        want_image_builder
        install_wanted
        ;;
    e2e)
        want_rust
        want_go
        want_node
        want_postgres
        want_python
        install_wanted
        make_venv
        ;;
    programs)
        want_go
        want_program openssl openssl "an API server wants a key for its accounts"
        compiles_c || want gcc "one of the programs is C"
        install_wanted
        ;;
    profile)
        want_rust
        want_perf
        install_wanted
        make_inferno
        ;;
    noetl)
        want_rust
        want_go
        want_cplusplus
        install_wanted
        ;;
    *)
        echo "usage: scripts/setup.sh build|run|test|fuzz|generate|docs|lint|image|e2e|programs|profile|noetl" >&2
        exit 2
        ;;
esac
