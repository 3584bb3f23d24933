# Distribution packages: collected with `want`, installed together by `install_wanted`.
# Sourced by scripts/setup.sh.
# shellcheck shell=bash

wanted=()
lists_updated=no
become_root=()

say() { printf 'setup: %s\n' "$*"; }

# The last words: what is wrong, then what the reader can do, each argument a line.
die() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

# want PACKAGE REASON: asks for a package, to be installed by `install_wanted`.
want() {
    [ ${#wanted[@]} -gt 0 ] || say "missing on this machine:"
    say "  $1: $2"
    wanted+=("$1")
}

# Finds out how to become root, or explains what somebody who can should run.
need_root() {
    if [ "$EUID" -eq 0 ]; then
        become_root=()
    elif ! command -v sudo >/dev/null; then
        die "this needs root, and you are neither root nor is there sudo." \
            "As root run: $*"
    elif sudo -n true 2>/dev/null; then
        become_root=(sudo -n)
    elif [ -t 0 ]; then
        say "sudo asks for your password:"
        become_root=(sudo)
    else
        die "this needs root; sudo wants a password, and there is no terminal to ask on." \
            "Run by hand: sudo $*"
    fi
}

# apt-get as root, with no question from it or from the packages, waiting for another apt to end;
# its own words go to .cache/setup.log. The full PATH is for a root shell that came by a plain `su`.
apt_get() {
    need_root apt-get "$@"
    mkdir -p "$cache"
    "${become_root[@]}" env PATH="$PATH:/usr/sbin:/sbin" DEBIAN_FRONTEND=noninteractive \
        NEEDRESTART_SUSPEND=1 UCF_FORCE_CONFFOLD=1 \
        apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        "$@" </dev/null >"$cache/setup.log" 2>&1
}

update_lists() {
    [ "$lists_updated" = no ] || return 0
    say "reading the list of packages: apt-get update"
    apt_get update || say "apt-get update failed; going on with the lists there are"
    lists_updated=yes
}

# The version that apt would install, or nothing. Never fails.
candidate() {
    apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'
}

# Makes sure that apt knows the package, reading the lists once where it does not.
known() {
    [ -n "$(candidate "$1")" ] && return
    update_lists
    [ -n "$(candidate "$1")" ]
}

# Installs what was wanted: one call, nothing beyond the packages and what they depend on.
install_wanted() {
    [ ${#wanted[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die \
        "there is no apt-get here, and this script knows no other installer." \
        "Install by your system's means: ${wanted[*]}; then run the command again."
    local package
    for package in "${wanted[@]}"; do
        known "$package" || die "apt offers no package $package." \
            "Look at /etc/apt/sources.list (Ubuntu: is 'universe' there?), then run: apt-get update"
    done
    local install=(install -y --no-install-recommends "${wanted[@]}")
    say "installing, which may take minutes: apt-get ${install[*]}"
    if ! apt_get "${install[@]}"; then
        # Perhaps the lists are old and name versions that the archive no longer has.
        update_lists
        apt_get "${install[@]}" || {
            tail -n 20 "$cache/setup.log" >&2
            die "apt-get could not install them; its last words are above, all in .cache/setup.log." \
                "Run by hand: sudo apt-get ${install[*]}"
        }
    fi
    wanted=()
}
