# What a host is, before anything is done to it: `sh -s PACKAGE...`, as whoever logs in. Prints KEY=VALUE lines.
if [ -r /etc/os-release ]; then . /etc/os-release; fi
echo "os=${PRETTY_NAME:-unknown}"
if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then echo apt=yes; fi
if [ -d /run/systemd/system ]; then echo systemd=yes; fi
if [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then echo root=yes; fi
if [ -L /opt/pymachine/current ]; then echo "engine=$(readlink /opt/pymachine/current)"; fi
missing=
for package in "$@"; do
    case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
    installed) ;;
    *) missing="$missing $package" ;;
    esac
done
echo "missing=${missing# }"
