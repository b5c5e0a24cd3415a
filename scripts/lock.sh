#!/bin/sh
# Writes requirements.txt from requirements.in, and catalogue.lock from the registries. No index address gets into either.
set -eu
cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools"
"$tools/bin/pip" install --quiet uv
compile() { "$tools/bin/uv" pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 "$@"; }
compile requirements.in --output-file requirements.txt
for image in trader api ticker ticks-relay; do
    compile "supply/images/$image/requirements.in" --python-platform x86_64-manylinux_2_28 --output-file "supply/images/$image/requirements.txt"
done
.venv/bin/python -m supply lock
