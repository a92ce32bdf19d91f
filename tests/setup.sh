#!/usr/bin/env bash
# Gets what the tests need beside Python: the programs of tests/packages.apt, and Apache Kafka's jars
# in .cache/kafka/<version>/. Quiet when all is there.
#
# What cannot be had goes to .cache/missing, a line each: name, tab, reason. The tests that need it
# are then skipped with that reason; with TIP_DETECTOR_FORBID_SKIP=1 this script fails instead.
set -euo pipefail
cd "$(dirname "$0")/.."

pom=tests/kafka/pom.xml
kafka_version=$(sed -n 's:.*<kafka\.version>\(.*\)</kafka\.version>.*:\1:p' "$pom")
jars=.cache/kafka/$kafka_version
log=.cache/setup.log
missing=.cache/missing

main() {
    mkdir -p .cache/kafka
    : >"$log"
    : >"$missing"
    install_programs
    [ -d "$jars" ] || fetch_kafka
    [ -s "$missing" ] || return 0
    echo "tests/setup.sh: not to be had here (details in $log):" >&2
    sed 's/^/  /' "$missing" >&2
    [ "${TIP_DETECTOR_FORBID_SKIP:-}" != 1 ]
}

note() { # name, reason
    printf '%s\t%s\n' "$1" "$2" >>"$missing"
}

install_programs() {
    local package program ready=""
    while read -r package _ program _; do
        program=${program%:}
        if is_there "$program"; then continue; fi
        if ! command -v apt-get >/dev/null; then
            note "$program" "there is no apt-get here to install Debian's package $package"
        elif [ "$(id -u)" != 0 ]; then
            note "$program" "not root: run apt-get install $package"
        else
            [ -n "$ready" ] || prepare_apt
            ready=yes
            install_package "$package" "$program"
        fi
    done < <(grep -v '^ *\(#\|$\)' tests/packages.apt)
}

is_there() { # program
    case $1 in
    java) [ "$(java_version)" -ge 17 ] ;; # Kafka 4 needs 17
    postgres) compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null ;; # not in PATH
    mvn) [ -d "$jars" ] || command -v mvn >/dev/null ;; # only fetches the jars
    *) command -v "$1" >/dev/null ;;
    esac
}

java_version() { # 0 without Java
    { java -version 2>&1 || true; } | sed -n 's/.* version "\([0-9]*\).*/\1/p' | grep . || echo 0
}

prepare_apt() {
    # Some packages bring a daemon and start it; the tests want only the programs.
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
    fi
    apt-get update -qq >>"$log" 2>&1 </dev/null || true # an old list may do
}

install_package() { # package, program
    echo "tests/setup.sh: installing $1" >&2
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=120 "$1" >>"$log" 2>&1 </dev/null; then
        note "$2" "apt-get install $1: $(grep '^E: ' "$log" | tail -n 1)"
    elif ! is_there "$2"; then
        note "$2" "$1 is installed, but the $2 that is first in PATH does not do"
    fi
    if [ -d /run/systemd/system ] && [[ $1 = prometheus* || $1 = postgresql ]]; then
        systemctl disable --quiet "$1" >>"$log" 2>&1 || true # nor at the next boot
    fi
}

fetch_kafka() {
    command -v mvn >/dev/null || {
        note kafka "mvn, which fetches Apache Kafka, is missing"
        return
    }
    echo "tests/setup.sh: fetching Apache Kafka $kafka_version" >&2
    rm -rf "$jars.part"
    # The folder gets its name only when it is whole, so that an interrupted fetch is repeated.
    if mvn --batch-mode -Dstyle.color=never --quiet --file "$pom" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$PWD/$jars.part" >>"$log" 2>&1 </dev/null; then
        mv "$jars.part" "$jars"
    else
        note kafka "Maven: $(sed -n 's/.*\[ERROR\] //p' "$log" | head -n 1 | cut -c 1-300)"
    fi
}

main
