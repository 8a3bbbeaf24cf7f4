#!/bin/sh
# Builds the Go client of the tests in FOLDER, or PACKAGE, from the versions that its go.mod names.
# usage: go_client.sh FOLDER PROGRAM [PACKAGE]
set -eu

folder=$1 program=$2 package=${3:-.}
go=$(command -v go || echo /usr/local/go/bin/go)
mkdir -p "$(dirname "$program")"
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
cd "$folder"
GOTOOLCHAIN=local GOFLAGS=-mod=readonly "$go" build -o "$program" "$package"
