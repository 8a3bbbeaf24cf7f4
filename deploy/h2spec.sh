#!/bin/sh
# Builds h2spec, the HTTP/2 conformance suite, from the versions that tests/e2e/h2spec/go.mod names.
# usage: h2spec.sh PROGRAM
set -eu

program=$1
[ ! -x "$program" ] || exit 0
go=$(command -v go || true)
if [ -z "$go" ] && [ -x /usr/local/go/bin/go ]; then
    go=/usr/local/go/bin/go
fi
if [ -z "$go" ]; then
    "$(dirname "$0")/packages.sh" golang-go
    go=$(command -v go)
fi
mkdir -p "$(dirname "$program")"
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
cd "$(dirname "$0")/../tests/e2e/h2spec"
GOTOOLCHAIN=local GOFLAGS=-mod=readonly "$go" build -o "$program" github.com/summerwind/h2spec/cmd/h2spec
