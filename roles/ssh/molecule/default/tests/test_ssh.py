"""Who gets in over ssh, and how: from sshd's whole effective configuration, and from the running server's own answers."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

DROP_IN = "/etc/ssh/sshd_config.d/00-crowsnest.conf"
#: Asks the server on its first port, as somebody who is not known. Nothing of the caller's own settings takes part.
#: Each time from another loopback address: OpenSSH 10 stops talking to one that keeps failing.
CLIENT = (
    "ssh -F none -b 127.$(shuf -i 1-250 -n 1).$(shuf -i 1-250 -n 1).1 -p $(sshd -T | awk '$1 == \"port\" { print $2; exit }')"
    " -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=10"
)


def effective(host) -> dict[str, list[str]]:
    """What sshd says that it would do, by keyword."""
    words: dict[str, list[str]] = {}
    for line in host.check_output("sshd -T").splitlines():
        keyword, _, value = line.partition(" ")
        words.setdefault(keyword, []).append(value)
    return words


def offer(host, option: str, weak: str) -> set[str]:
    """What the running server offers, told by a client that knows only what it must not offer."""
    said = host.run(f"{CLIENT} -o {option}={weak} nobody@127.0.0.1 true").stderr
    return (
        set(re.search(r"Their offer: (\S+)", said).group(1).split(",")) if "Their offer" in said else {f"took {weak}: {said}"}
    )


def check(host, **wanted: str) -> None:
    """Keywords of `sshd -T` have these values."""
    found = effective(host)

    assert {keyword: found[keyword] for keyword in wanted} == {keyword: [value] for keyword, value in wanted.items()}


@pytest.mark.control("ssh-02")
def test_logins_are_by_key_only(host):
    check(
        host,
        pubkeyauthentication="yes",
        passwordauthentication="no",
        kbdinteractiveauthentication="no",
        authenticationmethods="publickey",
    )


@pytest.mark.control("ssh-03")
def test_no_host_is_trusted_in_place_of_a_user(host):
    check(host, hostbasedauthentication="no", ignorerhosts="yes", ignoreuserknownhosts="yes")


@pytest.mark.control("ssh-04")
def test_kerberos_and_gssapi_are_off(host):
    check(host, gssapiauthentication="no", kerberosauthentication="no")


@pytest.mark.control("ssh-05")
def test_no_login_without_a_password(host):
    check(host, permitemptypasswords="no")


@pytest.mark.control("ssh-06")
def test_root_does_not_log_in(host):
    check(host, permitrootlogin="no")


@pytest.mark.control("ssh-08")
def test_logins_are_bounded_in_tries_and_time(host):
    check(host, maxauthtries="3", logingracetime="30")


@pytest.mark.control("ssh-09")
def test_connections_and_sessions_are_bounded(host):
    check(host, maxstartups="10:30:60", persourcemaxstartups="10", maxsessions="10")


@pytest.mark.control("ssh-10")
def test_dead_connections_are_closed(host):
    check(host, clientaliveinterval="300", clientalivecountmax="2", tcpkeepalive="no")


@pytest.mark.control("ssh-11")
def test_nothing_is_forwarded(host):
    check(
        host,
        allowtcpforwarding="no",
        allowstreamlocalforwarding="no",
        gatewayports="no",
        permittunnel="no",
        allowagentforwarding="no",
        x11forwarding="no",
    )


@pytest.mark.control("ssh-12")
def test_user_files_do_not_change_the_session(host):
    check(host, permituserenvironment="no", permituserrc="no")


@pytest.mark.control("ssh-13")
def test_pam_and_strict_modes_are_on(host):
    check(host, usepam="yes", strictmodes="yes")


@pytest.mark.control("ssh-14")
def test_log_names_the_key(host):
    check(host, loglevel="VERBOSE", syslogfacility="AUTH")


@pytest.mark.control("ssh-18")
def test_short_rsa_keys_do_not_count(host):
    check(host, requiredrsasize="2048")


@pytest.mark.control("ssh-19")
def test_session_keys_are_renewed(host):
    check(host, rekeylimit="1073741824 3600")


@pytest.mark.control("ssh-20")
def test_server_says_and_does_no_more_than_it_must(host):
    check(host, banner="none", usedns="no", compression="no")


@pytest.mark.control("ssh-01")
def test_server_listens_on_its_ports_and_no_others(host):
    listening = host.check_output("ss --no-header --listening --tcp --numeric --processes | grep '\"sshd\"'").splitlines()

    assert {line.split()[3].rsplit(":", 1)[1] for line in listening} == set(effective(host)["port"]) == {"22"}


@pytest.mark.control("ssh-02", "ssh-05")
def test_password_is_not_even_asked_for(host):
    tried = host.run(f"{CLIENT} -o PreferredAuthentications=password,keyboard-interactive root@127.0.0.1 true")

    assert tried.rc == 255
    assert "Permission denied (publickey)." in tried.stderr


@pytest.mark.control("ssh-07")
def test_only_the_allowed_groups_log_in(host):
    assert effective(host)["allowgroups"] == ["sudo"]


@pytest.mark.container
@pytest.mark.control("ssh-02", "ssh-06", "ssh-07")
def test_key_opens_an_allowed_account_and_no_other(host):
    host.check_output("id outsider >/dev/null 2>&1 || useradd --create-home --shell /bin/sh outsider")
    entered = {}
    try:
        for user, home in (("trader", "/home/trader"), ("outsider", "/home/outsider"), ("root", "/root")):
            host.check_output(
                f"install -d -m 700 -o {user} {home}/.ssh"
                f" && install -m 600 -o {user} /home/trader/.ssh/id_ed25519.pub {home}/.ssh/authorized_keys"
            )
            entered[user] = host.run(f"{CLIENT} -i /home/trader/.ssh/id_ed25519 {user}@127.0.0.1 id -un").stdout.strip()
    finally:
        host.run("userdel --remove outsider; rm -f /root/.ssh/authorized_keys")

    assert entered == {"trader": "trader", "outsider": "", "root": ""}


@pytest.mark.container
@pytest.mark.control("ssh-11")
def test_ports_are_not_forwarded(host):
    tried = host.run(f"{CLIENT} -i /home/trader/.ssh/id_ed25519 -W 127.0.0.1:22 trader@127.0.0.1 </dev/null")

    assert "administratively prohibited" in tried.stderr


@pytest.mark.control("ssh-15")
def test_running_server_offers_only_strong_key_exchange(host):
    offered = offer(host, "KexAlgorithms", "diffie-hellman-group14-sha256")
    offered -= {"kex-strict-s-v00@openssh.com", "ext-info-s"}
    known = set(host.check_output("ssh -Q kex").split())

    assert offered == known & {
        "mlkem768x25519-sha256",
        "sntrup761x25519-sha512",
        "sntrup761x25519-sha512@openssh.com",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group18-sha512",
    }
    assert "sntrup761x25519-sha512@openssh.com" in offered


@pytest.mark.control("ssh-16")
def test_running_server_offers_only_strong_ciphers(host):
    assert offer(host, "Ciphers", "aes128-cbc") == {
        "chacha20-poly1305@openssh.com",
        "aes256-gcm@openssh.com",
        "aes128-gcm@openssh.com",
        "aes256-ctr",
        "aes128-ctr",
    }


@pytest.mark.control("ssh-17")
def test_running_server_offers_only_strong_authentication_codes(host):
    # A cipher that needs a code of its own; the others bring theirs.
    assert offer(host, "Ciphers=aes256-ctr -o MACs", "hmac-sha1") == {
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha2-256-etm@openssh.com",
        "umac-128-etm@openssh.com",
    }


@pytest.mark.control("ssh-18")
def test_running_server_shows_only_strong_host_keys(host):
    assert offer(host, "HostKeyAlgorithms", "ssh-rsa") == {"ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"}


@pytest.mark.control("ssh-20")
def test_running_server_does_not_tell_its_distribution(host):
    said = host.run(f"{CLIENT} -v -o PreferredAuthentications=none nobody@127.0.0.1 true").stderr

    assert "remote software version OpenSSH_" in said
    assert "Debian" not in re.search(r"remote software version (.*)", said).group(1)


@pytest.mark.control("ssh-21", "ssh-22")
def test_only_root_reads_and_writes_the_files(host):
    lines = host.check_output(
        f"stat --format '%n %a %U %G' /etc/ssh /etc/ssh/sshd_config {DROP_IN} /etc/ssh/ssh_host_*_key*"
    ).splitlines()
    found = dict(line.split(" ", 1) for line in lines)

    def wanted(path: str) -> str:
        return "755 root root" if path == "/etc/ssh" else "644 root root" if path.endswith(".pub") else "600 root root"

    assert len(found) >= 5
    assert found == {path: wanted(path) for path in found}


# Drills: the role is run with a change that must not come through.


def converge(**variables) -> subprocess.CompletedProcess:
    """The scenario's converge with other variables."""
    return subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            f"--inventory={os.environ['MOLECULE_INVENTORY_FILE']}",
            f"--extra-vars={json.dumps(variables)}",
            Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "converge.yml",
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def state(host) -> str:
    """The configuration, and the process that serves it."""
    return host.check_output(f"sha256sum {DROP_IN}; systemctl show --property MainPID ssh.service")


@pytest.mark.container
@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"ssh_login_user": "root"}, "root may not log in"),
        ({"ssh_allow_groups": ["staff"]}, "trader is in none of staff"),
        ({"ssh_login_user": "nobody", "ssh_allow_groups": ["nogroup"]}, "nobody has no authorized key"),
        ({"ssh_settings": {"KexAlgorithms": "rot13"}}, "Bad SSH2 KexAlgorithms"),
    ],
    ids=["root", "group", "key", "broken"],
)
def test_drill_refused_change_leaves_everything_as_it_was(host, variables, why):
    before = state(host)

    run = converge(**variables)

    assert run.returncode == 2
    assert why in run.stdout
    assert state(host) == before
    # A change that validation refuses was armed already; the timer would only put back what is there.
    host.run("systemctl start crowsnest-revert-ssh.service")


@pytest.mark.container
def test_drill_change_that_cuts_the_connection_undoes_itself(host):
    before = host.check_output(f"sha256sum {DROP_IN}")

    # An address that this machine does not have: valid, and afterwards nothing listens any more.
    run = converge(ssh_settings={"ListenAddress": "192.0.2.1", "PasswordAuthentication": "no"}, ssh_confirm_seconds=10)
    limit = time.monotonic() + 60
    while not (back := host.run("ssh-keyscan -T 2 localhost").stdout):
        assert time.monotonic() < limit, "nobody undid the change"

    assert run.returncode == 2, run.stdout
    # Debian 13 notices at once that the server is gone, Debian 12 only when nobody is heard.
    assert "Reload the server" in run.stdout
    # Late enough, the server is heard because the change is undone already; that is no confirmation.
    assert "was undone" in run.stdout or "Confirm the change" not in run.stdout
    assert host.file("/var/lib/crowsnest/commit-confirm/ssh/reverted").exists
    assert "ssh-ed25519" in back
    assert host.check_output(f"sha256sum {DROP_IN}") == before
