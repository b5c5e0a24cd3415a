#!/bin/sh
# The library's tests (logs, metrics, alerts) on other Python versions, with the locked versions of what it needs.
# usage: test_pythons.sh [PYTHON ...]      default: those of 3.12 to 3.14 that are on PATH
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- python3.12 python3.13 python3.14
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for name in msgspec structlog prometheus-client pyyaml pydantic docker pytest pytest-timeout hypothesis apprise; do
    grep -E "^$name==" requirements.txt | cut -d " " -f 1
done >"$folder/requirements"
status=0
for python in "$@"; do
    if ! version=$("$python" -c 'import sys; print(".".join(map(str, sys.version_info[:3])))' 2>/dev/null); then
        echo "$python: SKIPPED, not on this machine"
        continue
    fi
    "$python" -m venv "$folder/$version"
    "$folder/$version/bin/python" -m pip install --quiet --disable-pip-version-check -r "$folder/requirements"
    echo "Python $version:"
    "$folder/$version/bin/python" -m pytest -q -p no:cacheprovider tests/unit/test_logs_*.py tests/unit/test_metrics_*.py \
        tests/unit/test_alerts_*.py tests/unit/test_docs_*.py || status=1
done
exit $status
