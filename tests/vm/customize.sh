#!/bin/sh
# Makes a Debian tree a machine that one can log in to: administrator, network, disks, the project's Python.
# Called by image.py in a mount namespace of its own.   usage: customize.sh TREE, with ADMIN, ADMIN_KEY, ADDRESS, ADDRESS6
set -eu
tree=$1

# Always the same id: an empty one would make the first boot enable every service that Debian has.
echo 7c1f0a3b5d2e4f6a8b9c0d1e2f3a4b5c >"$tree/etc/machine-id"
echo crowsnest-vm >"$tree/etc/hostname"
printf '127.0.0.1 localhost crowsnest-vm\n::1 localhost\n' >"$tree/etc/hosts"
printf '/dev/vda / ext4 errors=remount-ro 0 1\n/dev/vdb /var/lib/docker ext4 defaults 0 2\n' >"$tree/etc/fstab"
mkdir -p "$tree/var/lib/docker"

cat >"$tree/etc/systemd/network/10-crowsnest-vm.network" <<END
[Match]
Name=eth0
[Network]
Address=$ADDRESS/24
Address=$ADDRESS6/64
IPv6AcceptRA=no
LinkLocalAddressing=ipv6
END
chroot "$tree" systemctl --quiet enable systemd-networkd.service serial-getty@ttyS0.service
chroot "$tree" systemctl --quiet disable systemd-networkd-wait-online.service

# The administrator of the machine: a key, and sudo without a password, as cloud images have it. root has neither.
# Debian has a group of the same name for other things.
chroot "$tree" useradd --create-home --no-user-group --groups sudo --shell /bin/bash "$ADMIN"
echo "$ADMIN ALL=(ALL) NOPASSWD: ALL" >"$tree/etc/sudoers.d/$ADMIN"
chmod 440 "$tree/etc/sudoers.d/$ADMIN"
install -d -m 700 "$tree/home/$ADMIN/.ssh"
echo "$ADMIN_KEY" >"$tree/home/$ADMIN/.ssh/authorized_keys"
chmod 600 "$tree/home/$ADMIN/.ssh/authorized_keys"
chroot "$tree" chown -R "$ADMIN:" "/home/$ADMIN/.ssh"
chroot "$tree" passwd --quiet --lock root

# The project's Python. How this machine reaches its package registry is mounted only for that.
for path in /dev /etc/ssl/certs /etc/resolv.conf /etc/hosts /etc/pip.conf "${PIP_FIND_LINKS:-/nonexistent}"; do
    if [ -d "$path" ]; then
        mkdir -p "$tree$path"
    elif [ -f "$path" ]; then
        touch "$tree$path"
    else
        continue
    fi
    mount --bind "$path" "$tree$path"
done
chroot "$tree" env PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore /opt/crowsnest/scripts/bootstrap.sh
umount "$tree/etc/resolv.conf"
# Nothing out there to ask.
echo "# no name servers" >"$tree/etc/resolv.conf"
umount "$tree/etc/pip.conf" 2>/dev/null && rm "$tree/etc/pip.conf" || true
