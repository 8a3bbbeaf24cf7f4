#!/bin/sh
# Sees to it that Debian packages are there: installs what is missing when root, else prints the line to run and fails.
# usage: packages.sh PACKAGE...
set -eu

# A Python or a tool that did not come from a package will do: what counts is that it works.
have() {
    case $1 in
        python3-dev) python3 -c 'import pathlib, sysconfig
raise SystemExit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' 2>/dev/null ;;
        python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
        gcc | make | curl | git | jq | clang) command -v "$1" >/dev/null ;;
        nodejs) command -v node >/dev/null ;;
        *) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
    esac
}

if ! command -v dpkg-query >/dev/null; then
    echo "packages.sh: no dpkg here; what Debian calls $* must be installed by hand" >&2
    exit 0
fi

missing=
for package; do
    have "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "Debian packages are missing. Run this, then the same make again:" >&2
    echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends$missing" >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
echo "installing:$missing"
# The lists of a fresh machine are empty, those of an old one may name versions that are gone: then they are renewed.
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1 </dev/null || {
    apt-get update -qq </dev/null
    apt-get install -qq -y --no-install-recommends $missing >/dev/null </dev/null
}
