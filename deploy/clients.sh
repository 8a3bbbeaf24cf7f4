#!/bin/sh
# Fetches clients that only the long tests use, into a folder: Debian's chromium, sslscan and h2load, unpacked and not
# installed; pycurl with a libcurl that speaks HTTP/2 to proxies, httpx and sslyze, from PyPI.
# usage: clients.sh FOLDER PYTHON PYCURL-VERSION SSLYZE-VERSION
set -eu

folder=$1
python=$2
pycurl=$3
sslyze=$4
httpx=0.28.1
clients="chromium-headless-shell sslscan nghttp2-client"

if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "clients.sh: no apt-get here; put sslscan and chromium-headless-shell into $folder/usr/bin by hand" >&2
    exit 1
fi
[ ! -e "$folder/complete" ] || [ "$(cat "$folder/complete")" != "$pycurl $sslyze $httpx" ] || exit 0
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
rm -rf "$folder"
mkdir -p "$folder"

fetch() {
    # shellcheck disable=SC2086
    apt-get install -qq -y --no-install-recommends --reinstall --download-only -o Debug::NoLocking=1 \
        -o Dir::Cache::archives="$download" $clients >/dev/null 2>&1
}

# The lists of a fresh machine are empty; renewing them takes root.
fetch || { apt-get update -qq && fetch; }
for package in "$download"/*.deb; do
    dpkg-deb -x "$package" "$folder"
done
"$python" -m pip install -q --disable-pip-version-check --no-deps --only-binary :all: --target "$folder/pycurl" "pycurl==$pycurl"
"$python" -m pip install -q --disable-pip-version-check --only-binary :all: --target "$folder/httpx" "httpx==$httpx"
# It has no wheel, and wants an older cryptography than the gateway: what it needs lies beside it.
"$python" -m pip install -q --disable-pip-version-check --prefer-binary --no-warn-conflicts --target "$folder/sslyze" \
    "sslyze==$sslyze"
echo "$pycurl $sslyze $httpx" >"$folder/complete"
