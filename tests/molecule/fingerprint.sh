#!/bin/sh
# Describes what of a machine a role may change: every file of /etc, kernel modules' and units' states, packages, kernel
# parameters. Left out: what a package's installation itself writes and its removal leaves (accounts, caches, alternatives).
set -eu
export LC_ALL=C
cd /etc
find . \( -type f -o -type l -o -type d \) ! -path './alternatives*' ! -path './ld.so.c*' ! -path './apt/*' ! -path './ssl/certs*' \
    ! -path './rc?.d*' ! -path './init.d*' ! -path './*passwd*' ! -path './*group*' ! -path './*shadow*' ! -path './sub?id*' \
    ! -name resolv.conf ! -name machine-id ! -name hostname ! -name hosts ! -name .updated ! -name mtab |
    sort | while read -r path; do
    if [ -L "$path" ]; then
        echo "/etc/$path -> $(readlink "$path")"
    elif [ -d "$path" ]; then
        stat --format "/etc/$path folder %a %U %G" "$path"
    else
        echo "$(stat --format "/etc/$path %a %U %G" "$path") $(sha256sum <"$path" | cut -c 1-16)"
    fi
done
systemctl list-unit-files --no-legend --no-pager --state=enabled,masked | awk '{ print "unit", $1, $2 }' | sort
dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' | awk '$1 == "installed" { print "package", $2 }' | sort
sysctl --all 2>/dev/null | grep -E '^(kernel|net\.ipv[46]\.(conf\.(all|default)|icmp|tcp)|fs|vm)' |
    grep -vE 'quota\.|random\.(boot_id|uuid|entropy)|nr[-_]|[-_]nr |state|(ns_last_pid|pty\.nr|free|watermark|drop_caches|stat_refresh)' | sed 's/^/sysctl /' | sort
