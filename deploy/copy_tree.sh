#!/bin/sh
# Copies the sources, and nothing that was built, to another folder: files that did not change keep their times there.
# usage: copy_tree.sh TARGET
set -eu
target=$1
mkdir -p "$target"
rm -rf "$target/tests" "$target/supervisor/sample"
tar -cf - --exclude='*.so' --exclude='*.c.tmp' --exclude='gateway/*.c' --exclude='supervisor/policy/*.c' --exclude=__pycache__ --exclude='*.egg-info' \
    setup.py pyproject.toml README.md ARCHITECTURE.md LICENSE csrc gateway supervisor tests deploy bench | tar -xf - -C "$target"
