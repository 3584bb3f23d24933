# The programs that the partner tests run for real: Prometheus with promtool, Alertmanager,
# VictoriaMetrics, PgBouncer, and a browser. Sourced by scripts/setup.sh.
#
# The daemons are unpacked into .cache/tools rather than installed: an installed package would
# start a service and take a port. .cache/tools/bin holds one small script for each program. Where
# a distribution has no such package, .cache/tools/absent/NAME says so, and the tests that need it
# are skipped with that reason.
# shellcheck shell=bash

tools=$cache/tools

make_daemons() {
    make_daemon prometheus usr/bin/prometheus usr/bin/promtool
    make_daemon prometheus-alertmanager usr/bin/prometheus-alertmanager
    move_alertmanager_templates
    make_daemon victoria-metrics usr/bin/victoria-metrics usr/bin/vmagent
    make_daemon pgbouncer usr/sbin/pgbouncer
}

# make_daemon PACKAGE PROGRAM...: unpacks the package, and a script in bin/ for each program.
make_daemon() {
    local package=$1 program
    shift
    for program in "$@"; do
        [ -x "$tools/bin/${program##*/}" ] || [ -e "$tools/absent/$package" ] || {
            unpack_daemon "$package" "$@"
            return
        }
    done
}

unpack_daemon() {
    local package=$1 into=$tools/$1 program
    shift
    command -v apt-get >/dev/null || die "there is no apt-get to fetch $package with." \
        "Put these programs into $tools/bin: ${*##*/}"
    if ! known "$package"; then
        say "this distribution has no package $package; tests that need it will be skipped"
        mkdir -p "$tools/absent"
        echo "the distribution has no package $package" >"$tools/absent/$package"
        return
    fi
    say "unpacking $package $(candidate "$package") into .cache/tools (not installed, no service)"
    rm -rf "$into"
    mkdir -p "$into" "$tools/bin"
    unpack "$package" "$into"
    for program in "$@"; do
        add_libraries "$package" "$into" "$into/$program"
        write_script "$package" "$program"
    done
}

# unpack PACKAGE FOLDER: downloads as whoever runs this, which needs no root.
unpack() {
    local package=$1 into=$2 debs
    debs=$(mktemp -d "$tools/download.XXXXXX")
    (cd "$debs" && apt-get -q -o APT::Sandbox::User="$(id -un)" download "$package" >/dev/null) ||
        { update_lists && (cd "$debs" && apt-get -q download "$package"); } ||
        die "apt-get could not download $package." "Run by hand: apt-get download $package"
    dpkg-deb -x "$debs"/*.deb "$into"
    rm -r "$debs"
}

# Unpacks beside the program the libraries of its package that the system does not have.
add_libraries() {
    local package=$1 into=$2 program=$3 library
    loads "$into" "$program" && return
    for library in $(apt-cache depends --no-recommends --no-suggests --no-conflicts --no-breaks \
        --no-replaces --no-enhances "$package" | awk '$1 == "Depends:" && $2 ~ /^lib/ { print $2 }'); do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$library" 2>/dev/null)" = installed ] ||
            unpack "$library" "$into"
    done
    loads "$into" "$program" || die "$package lacks libraries on this machine:" \
        "$(libraries "$into" "$program" | grep 'not found')" \
        "Run by hand: sudo apt-get install $package"
}

library_path() { find "$1" \( -name '*.so' -o -name '*.so.*' \) -printf '%h\n' | sort -u | paste -sd:; }
libraries() { LD_LIBRARY_PATH=$(library_path "$1") ldd "$2" 2>/dev/null; }
loads() { [[ $(libraries "$1" "$2") != *"not found"* ]]; }

write_script() {
    local package=$1 program=$2 script=$tools/bin/${2##*/} path
    path=$(cd "$tools" && library_path "$package")
    {
        echo '#!/bin/sh'
        echo "# The program of the package $package, run from where scripts/setup.sh unpacked it."
        # shellcheck disable=SC2016 # these are for the script's own shell
        echo 'here=$(dirname "$(readlink -f "$0")")/..'
        [ -z "$path" ] || echo "export LD_LIBRARY_PATH=\"\$here/${path//:/:\$here/}\""
        echo "exec \"\$here/$package/$program\" \"\$@\""
    } >"$script.new"
    chmod +x "$script.new"
    mv "$script.new" "$script"
}

# Debian's Alertmanager wants its templates below /usr/share, where nothing is installed: the unpacked
# one is given another path, as long as that, of a folder that its script opens.
move_alertmanager_templates() {
    local program=$tools/prometheus-alertmanager/usr/bin/prometheus-alertmanager
    local from=/usr/share/prometheus/alertmanager to=/proc/self/fd/9///////////////////
    LC_ALL=C grep -qs "$from" "$program" || return 0
    LC_ALL=C sed -i "s#$from#$to#g" "$program"
    sed -i "s#^exec #exec 9<\"\$here/prometheus-alertmanager$from\"\n&#" "$tools/bin/${program##*/}"
}

has_chromium() { [ -x "${CHROMIUM:-/usr/bin/chromium}" ] || [ -e "$cache/browsers/ready" ]; }

# Ubuntu's chromium package is only a pointer to a snap, which needs systemd.
chromium_is_a_package() {
    known chromium || return 1
    [[ $(candidate chromium) != *snap* ]]
}

# The tests of faults set the clocks of servers and PostgreSQL with it. Where it can't be had they say so
# and set none.
want_faketime() {
    local library
    for library in /usr/lib/*/faketime/libfaketimeMT.so.1; do
        [ ! -e "$library" ] || return 0
    done
    if command -v apt-get >/dev/null && known faketime; then
        want faketime "the tests of faults set clocks by it"
    else
        say "there is no package faketime; the tests of faults will set no clocks"
    fi
}

want_chromium() {
    has_chromium && return
    command -v apt-get >/dev/null || die "there is no browser for the tests." \
        "Name one: CHROMIUM=/path/to/chromium make test"
    ! chromium_is_a_package || want chromium "the browser tests click through the status page"
}

# Nowhere to get a browser from: its tests are skipped and say so, but where all has to be tested.
without_chromium() {
    local why="playwright could not fetch its Chromium; its own words are above."
    local instead="Name a browser: CHROMIUM=/path/to/chromium make test"
    [ -z "${CI:-}" ] || die "$why" "$instead"
    say "$why The browser tests are skipped. $instead"
    mkdir -p "$tools/absent"
    echo "playwright could not fetch one. $instead" >"$tools/absent/chromium"
}

# Where the distribution has no Chromium, playwright's own build, and once that is there the packages
# whose libraries it loads.
make_chromium() {
    has_chromium && return
    if [ -z "${CI:-}" ] && [ -e "$tools/absent/chromium" ]; then
        say "no browser: $(cat "$tools/absent/chromium") Or remove .cache/tools/absent/chromium, to try again."
        return
    fi
    local playwright=("$cache/venv/bin/python" -m playwright)
    say "fetching playwright's Chromium into .cache/browsers"
    if ! PLAYWRIGHT_BROWSERS_PATH=$cache/browsers "${playwright[@]}" install chromium </dev/null; then
        without_chromium
        return
    fi
    say "installing the packages that it needs (playwright install-deps chromium)"
    "${playwright[@]}" install-deps chromium </dev/null || die "they could not be installed." \
        "Run by hand: sudo ${playwright[*]} install-deps chromium"
    touch "$cache/browsers/ready"
    rm -f "$tools/absent/chromium"
}
