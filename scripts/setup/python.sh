# A Python environment in .cache/venv with exactly the packages of tests/partners/requirements.txt.
# Sourced by scripts/setup.sh.
# shellcheck shell=bash

requirements=tests/partners/requirements.txt
venv=$cache/venv

want_python() {
    [ -n "$(python)" ] && return
    want python3 "the partner tests are written in Python"
    want python3-venv "their packages go to an environment of their own, .cache/venv"
}

# The first interpreter that is new enough and can make an environment; nothing where none can.
python() {
    local python
    for python in "${PYTHON:-}" python3 /usr/bin/python3 python3.13 python3.12 python3.11 python3.10; do
        [ -n "$python" ] && "$python" -c \
            'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null &&
            echo "$python" && return
    done
    return 0
}

# Made anew whenever the requirements, the interpreter or the folder are other than last time.
make_venv() {
    local python stamp
    python=$(python)
    [ -n "$python" ] || die "no Python 3.10 or newer with the modules venv and ensurepip." \
        "Name one: PYTHON=/path/to/python3 scripts/setup.sh test"
    stamp="$venv $("$python" --version) $(sha256sum <"$requirements")"
    [ "$(cat "$venv/stamp" 2>/dev/null)" != "$stamp" ] || return 0
    say "making .cache/venv with $("$python" --version) and the packages of $requirements"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    local install=("$venv/bin/python" -m pip install --quiet --no-input
        --disable-pip-version-check --requirement "$requirements")
    "${install[@]}" </dev/null || die "pip could not install them; its own words are above." \
        "Run by hand: ${install[*]}"
    echo "$stamp" >"$venv/stamp"
}
