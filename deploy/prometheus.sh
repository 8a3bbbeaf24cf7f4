#!/bin/sh
# Unpacks Debian's Prometheus into a folder, for tests that scrape with it: nothing is installed, no service is started.
# usage: prometheus.sh FOLDER
set -eu

folder=$1
[ ! -x "$folder/usr/bin/promtool" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "prometheus.sh: no apt-get here; put prometheus and promtool into $folder/usr/bin by hand" >&2
    exit 1
fi
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
cd "$download"
# The lists of a fresh machine are empty; renewing them takes root.
apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }
cd - >/dev/null
mkdir -p "$folder"
dpkg-deb -x "$download"/prometheus_*.deb "$folder"
