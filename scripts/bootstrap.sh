#!/bin/sh
# Makes .venv from requirements.txt, with every hash checked. On Debian as root it installs the venv module when missing.
#   scripts/bootstrap.sh [MORE_REQUIREMENTS ...]   also installs further locked files into it
set -eu
cd "$(dirname "$0")/.."
begun=$(date +%s)

fail() { echo "bootstrap: $1" >&2; exit 1; }

find_python() {
    for candidate in python3.11 python3.12 python3.13 python3; do
        if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            echo "$candidate"
            return
        fi
    done
}

apt_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "install $* first"
    echo "bootstrap: installing $*"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

python=$(find_python)
[ -n "$python" ] || { apt_install python3 python3-venv; python=$(find_python); }
[ -n "$python" ] || fail "Python 3.11 or later is needed"
"$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv

key=$(cat requirements.txt "$@" | sha256sum | cut -c1-16)
[ "$(cat .venv/.installed 2>/dev/null)" != "$key" ] || exit 0
[ -x .venv/bin/python ] || "$python" -m venv .venv
for file in requirements.txt "$@"; do
    echo "bootstrap: installing $(grep -c '==' "$file") locked packages of $file"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$file"
done
echo "$key" > .venv/.installed
echo "bootstrap: .venv is ready in $(($(date +%s) - begun)) s"
