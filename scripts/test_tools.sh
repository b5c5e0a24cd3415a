#!/bin/sh
# What the tests need beyond `make up`: a Docker engine, the build tools, a local image registry to pull from, a browser, and the
# programs that check what Prometheus, Alertmanager and the gateway read.
set -eu
cd "$(dirname "$0")/.."
if ! docker version >/dev/null 2>&1 || ! command -v mmdebstrap >/dev/null; then
    .venv/bin/ansible-playbook playbooks/docker.yml -e stack=full -e supply=packages
fi
.venv/bin/python -m supply checkers > /dev/null
missing=""
for package in docker-registry busybox-static chromium git restic; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
[ "$(id -u)" = 0 ] || { echo "test tools: install$missing first" >&2; exit 1; }
echo "test tools: installing$missing"
# The tests start a registry of their own on loopback; the package's service would listen on every interface.
mkdir -p /etc/systemd/system
ln -sf /dev/null /etc/systemd/system/docker-registry.service
apt-get update -qq
# shellcheck disable=SC2086  # a list on purpose
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
