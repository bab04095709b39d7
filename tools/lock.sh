#!/bin/sh
# Pins every dependency, with hashes and without addresses, from pyproject.toml (run through `make lock`).
# `dev.txt` is solved first; the others take their versions from it, so that one package has one version.
set -eu
cd "$(dirname "$0")/.."
UV=${UV:-.venv/bin/uv}
compile() {
    output=$1
    shift
    "$UV" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-emit-find-links --no-header --no-annotate ${UPGRADE:+--upgrade} "$@" --output-file "$output"
    echo "lock: wrote $output"
}
compile requirements/dev.txt pyproject.toml --extra edge --extra hub --group dev
compile requirements/edge.txt pyproject.toml --extra edge --constraints requirements/dev.txt
compile requirements/hub.txt pyproject.toml --extra hub --constraints requirements/dev.txt
compile requirements/bench.txt pyproject.toml --extra edge --extra hub --group bench --constraints requirements/dev.txt
echo uv | compile requirements/uv.lock.txt -
