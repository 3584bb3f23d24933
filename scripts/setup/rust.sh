# The Rust side: cargo, a C compiler for the crates that hold C, cargo-deny.
# Sourced by scripts/setup.sh.
# shellcheck shell=bash

cargo_deny_version=0.20

want_rust() {
    PATH=$PATH:${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}/bin
    command -v cargo >/dev/null || die "there is no cargo." \
        "Install a Rust toolchain with rustup (https://rustup.rs), then run the command again."
    compiles_c || {
        want gcc "crates with C parts (TLS, compression) and the linker need a C compiler"
        want libc6-dev "the C library's headers, for the same"
    }
}

compiles_c() {
    echo '#include <stdio.h>
int main(void) { return puts("") < 0; }' | cc -x c -o /dev/null - 2>/dev/null
}

# What crates of NoETL want beside a C compiler.
want_cplusplus() {
    command -v g++ >/dev/null || want g++ "crates of NoETL have parts in C++"
    command -v cmake >/dev/null || want cmake "some of them are built with it"
    command -v pkg-config >/dev/null || want pkg-config "and look for libraries with it"
}

# cargo-deny from PATH or from .cache, built only where neither has it. It runs for seconds, so a
# quick build without optimisation beats a slow one.
make_cargo_deny() {
    local bin=$cache/cargo-tools/bin
    [[ $(PATH=$bin:$PATH cargo-deny --version 2>/dev/null) != *" $cargo_deny_version."* ]] || return 0
    say "building cargo-deny $cargo_deny_version into .cache/cargo-tools (some minutes, once):"
    local install=(cargo install --locked --root "$cache/cargo-tools" "cargo-deny@^$cargo_deny_version")
    say "  ${install[*]}"
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=0 \
        "${install[@]}" || die "cargo-deny could not be built; the reason is above." \
        "Run by hand: ${install[*]}"
}
