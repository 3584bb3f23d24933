# The Rust side: cargo, a C compiler for the crates that hold C, cargo-deny, mdBook.
# Sourced by scripts/setup.sh.
# shellcheck shell=bash

cargo_deny_version=0.20
inferno_version=0.12
mdbook_version=0.5
cargo_tools=$cache/cargo-tools/bin

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
want_libfuzzer() {
    command -v g++ >/dev/null || want g++ "libFuzzer, which makes up the input of fuzz tests, is C++"
}

want_cplusplus() {
    command -v g++ >/dev/null || want g++ "crates of NoETL have parts in C++"
    command -v cmake >/dev/null || want cmake "some of them are built with it"
    command -v pkg-config >/dev/null || want pkg-config "and look for libraries with it"
}

# cargo-deny from PATH or from .cache.
make_cargo_deny() {
    [[ $(PATH=$cargo_tools:$PATH cargo-deny --version 2>/dev/null) == *" $cargo_deny_version."* ]] ||
        build_tool cargo-deny "$cargo_deny_version"
}

# mdBook from PATH or from .cache: what builds the site, without what would serve it.
make_mdbook() {
    [[ $(PATH=$cargo_tools:$PATH mdbook --version 2>/dev/null) == *" v$mdbook_version."* ]] ||
        build_tool mdbook "$mdbook_version" --no-default-features --features search
}

# perf is of the kernel's own package; where it is not Debian's, its name is another.
want_perf() { want_program perf linux-perf "takes samples of the program while it runs"; }

# Draws flame graphs of what perf saw.
make_inferno() {
    PATH=$cargo_tools:$PATH command -v inferno-flamegraph >/dev/null ||
        build_tool inferno "$inferno_version"
}

# build_tool CRATE VERSION FLAGS...: into .cache, only where it is missing. It runs for seconds, so a
# quick build without optimisation beats a slow one.
build_tool() {
    say "building $1 $2 into .cache/cargo-tools (some minutes, once):"
    local install=(cargo install --locked --root "$cache/cargo-tools" "$1@^$2" "${@:3}")
    say "  ${install[*]}"
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=0 \
        "${install[@]}" || die "$1 could not be built; the reason is above." \
        "Run by hand: ${install[*]}"
}
