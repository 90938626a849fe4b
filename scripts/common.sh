# Read by scripts/demo and scripts/test: what both install, and how they say what they do.
# shellcheck shell=sh

say() { printf '\033[1m== %s\033[0m\n' "$*"; }

die() {
    printf '%s\n' "error: $*" >&2
    exit 1
}

need_root_on_debian() {
    [ "$(uname -s)" = Linux ] || die "this makes Linux namespaces: run it on a Linux machine (Debian 12 or newer)"
    [ "$(id -u)" = 0 ] || die "this makes namespaces, mounts and a bridge: run it as root (sudo $0)"
    command -v apt-get >/dev/null || die "this installs Debian packages: there is no apt-get here"
}

installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

# Install Debian packages that are missing. No service is started or enabled by that: docker-registry would take
# port 5000 of this machine, and cloud-init would look for a cloud at the next boot.
install_packages() {
    missing=
    for package in "$@"; do
        installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    say "apt-get install$missing"
    case $missing in *cloud-init*) mkdir -p /etc/cloud && touch /etc/cloud/cloud-init.disabled ;; esac
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get update -q
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
    case $missing in *docker-registry*) systemctl disable docker-registry 2>/dev/null || true ;; esac
    if [ "$(cat $policy 2>/dev/null)" = "$(printf '#!/bin/sh\nexit 101')" ]; then rm -f $policy; fi
}

# A virtual environment in ./.venv that holds exactly what a lock file names, and this tree.
install_python() {
    lock=$1
    stamp=.venv/.installed-$(cat "$lock" pyproject.toml | sha256sum | cut -c1-16)
    [ -e "$stamp" ] && return 0
    say "python environment in ./.venv from $lock"
    interpreter=/usr/bin/python3 # Debian's own: the one that the hosts have
    [ -x $interpreter ] || interpreter=python3
    [ -x .venv/bin/python ] || $interpreter -m venv .venv
    .venv/bin/python -m pip install -q --require-hashes -r "$lock"
    .venv/bin/python -m pip install -q --no-deps --no-build-isolation -e .
    rm -f .venv/.installed-*
    touch "$stamp"
}
