#!/bin/sh
# Builds a Debian container image for tests, and prints its name.
# The tag is the hash of this recipe and of the mirror, so an image that is already there is used as it is.
# usage: debian_image.sh PURPOSE [SUITE]      PURPOSE: molecule (systemd, for the roles' scenarios) or bare (a new machine)
#                                             SUITE: bookworm (default) or trixie
set -eu

purpose=$1 suite=${2:-bookworm}
case $purpose in
    # python3-apt: what a Debian installation has and ansible.builtin.apt needs in check mode.
    molecule) packages=systemd,systemd-sysv,dbus,python3,python3-apt,ca-certificates,iproute2,procps ;;
    # Nothing but what the README asks for before its first command.
    bare) packages=git,make,ca-certificates ;;
    *) echo "debian_image.sh: unknown purpose '$purpose', choose molecule or bare" >&2; exit 2 ;;
esac
case $suite in
    bookworm) release=12 ;;
    trixie) release=13 ;;
    *) echo "debian_image.sh: unknown suite '$suite', choose bookworm or trixie" >&2; exit 2 ;;
esac

# The machine's own Debian mirror, from its apt configuration; without one mmdebstrap takes its default.
mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk '$1 == "Debian" && $2 == "Debian" && $3 == "main" { print $4; exit }' || true)

key=$(printf '%s\n' "$suite" "$mirror" "$packages" "$(uname -m)" | cat - "$0" | sha256sum | cut -c 1-12)
image=crowsnest/$purpose-debian$release:$key

if ! docker image inspect "$image" >/dev/null 2>&1; then
    echo "debian_image.sh: building $image" >&2
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    # The machine's proxy settings, if it has any.
    apt-config --format '%f "%v";%n' dump | grep -E '^Acquire::(http|https|ftp)::.*[Pp]roxy' >"$work/apt.conf" || true
    # Instances live for minutes: no translated descriptions, and no waiting for the disk.
    echo 'Acquire::Languages "none";' >>"$work/apt.conf"
    # An empty mirror argument would name a local folder, hence ${mirror:+...}.
    mmdebstrap --quiet --variant=minbase --include="$packages" --aptopt="$work/apt.conf" --dpkgopt=force-unsafe-io \
        --customize-hook='rm -f "$1"/etc/machine-id "$1"/etc/hostname' \
        "$suite" "$work/root.tar" ${mirror:+"$mirror"} >&2
    docker import --change 'CMD ["/sbin/init"]' "$work/root.tar" "$image" >&2
fi
echo "$image"
