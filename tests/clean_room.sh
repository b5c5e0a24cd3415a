#!/bin/sh
# `make up` from a fresh clone on a bare Debian, twice: what a new user meets. The machine is a container with nothing but
# git and make in it; Docker is installed and runs inside. Nothing of it is left afterwards.
# usage: clean_room.sh [SUITE]      bookworm (default) or trixie; CLEAN_ROOM_COMMANDS: what runs in the clone
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
commands=${CLEAN_ROOM_COMMANDS:-"make up && make up && make status && make drift && make down"}
image=$("$root/tests/debian_image.sh" bare "${1:-bookworm}")
name=crowsnest-clean-room-$$
trap 'docker rm -f -v "$name" >/dev/null' EXIT

# How this machine reaches its package registries: certificates and proxies, where it has any.
set -- --volume /etc/ssl/certs:/etc/ssl/certs:ro
[ ! -d /usr/local/share/ca-certificates ] ||
    set -- "$@" --volume /usr/local/share/ca-certificates:/usr/local/share/ca-certificates:ro
for variable in PIP_CERT PIP_INDEX_URL SSL_CERT_FILE REQUESTS_CA_BUNDLE GOPROXY GOFLAGS HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [ -z "$(printenv "$variable")" ] || set -- "$@" --env "$variable"
done

# What a machine's own dockerd needs, and what the stack's containers may be given by it (DAC_READ_SEARCH: the collector); not
# privileged.
docker run --detach --name "$name" --cgroupns host --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
    --cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add NET_RAW --cap-add SYS_PTRACE --cap-add MKNOD --cap-add DAC_READ_SEARCH \
    --volume /sys/fs/cgroup:/sys/fs/cgroup:rw --volume /var/lib/docker --volume /var/cache/crowsnest \
    --volume "$root:/project:ro" --tmpfs /run --tmpfs /tmp:exec "$@" "$image" sleep infinity >/dev/null
docker exec "$name" sh -euc "
    git config --global --add safe.directory '*'
    git clone --quiet /project /root/crowsnest
    cd /root/crowsnest
    $commands"
