# Installs Debian packages: `sh -s PACKAGE...`, as root. Other commands may be at it: their locks are waited for.
# Nothing else changes: no upgrade, no recommended package, no service started or restarted.
set -eu
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l LC_ALL=C
log=$(mktemp)
trap 'rm -f "$log"' EXIT

install() {
    apt-get -q -y -o DPkg::Lock::Timeout=600 --no-install-recommends --no-upgrade install "$@" >"$log" 2>&1
}

# apt waits for dpkg's lock by itself, but not for that of its package lists.
update() {
    for _ in $(seq 300); do
        if apt-get -q update >"$log" 2>&1; then return 0; fi
        grep -q 'Could not get lock' "$log" || return 1
        sleep 2
    done
    return 1
}

# The lists that are there are good enough if the packages can be had with them.
if ! install "$@" && ! { update && install "$@"; }; then
    grep -E '^(E:|Err:)' "$log" >&2 || tail -n 3 "$log" >&2
    exit 1
fi
