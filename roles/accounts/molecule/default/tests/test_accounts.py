"""What PAM, sudo and the shell answer to a person, right or wrong."""

import re
from uuid import uuid4

import pytest

GOOD = "Harbour-7-lantern-Quill"
NEXT = "Velvet-9-anchor-Mosaic"

# Answers the questions of a program as a person at a terminal does. Run as a user, since root is asked nothing.
ASK = r"""
import os, pty, sys, time
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:-1])
try:
    for answer in sys.argv[-1].split("|"):
        said = b""
        while not said.rstrip().endswith(b":"):
            said += os.read(terminal, 1024)
        time.sleep(0.3)
        os.write(terminal, answer.encode() + b"\n")
    while os.read(terminal, 1024):
        pass
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture
def person(host):
    """An administrator who is there for one test, with a password. The memory of old passwords outlives an account."""
    forget = """
        faillock --user crowsnest-test --reset
        for name in crowsnest-test crowsnest-other; do userdel --remove $name 2>/dev/null; done
        sed -i /^crowsnest-test:/d /etc/security/opasswd
    """
    make = f"""
        useradd --create-home --groups sudo --shell /bin/bash crowsnest-test &&
        echo 'crowsnest-test:{GOOD}' | chpasswd && useradd --no-create-home --groups sudo crowsnest-other
    """
    host.check_output(forget + make)
    yield "crowsnest-test"
    host.check_output(forget)


def ask(host, as_user, command, answers):
    return host.run("runuser -u %s -- python3 -c %s " + command + " %s", as_user, ASK, answers)


def su(host, person, password, as_user="crowsnest-other"):
    return ask(host, as_user, f"su {person} -c true", password).rc


def settings(host, path):
    return dict(re.findall(r"(?m)^(\w+)\s*=?\s*(\S+)\s*$", host.file(path).content_string))


@pytest.mark.control("accounts-01")
def test_five_wrong_passwords_lock_for_a_while(host, person):
    assert su(host, person, GOOD) == 0
    for _ in range(5):
        assert su(host, person, "wrong") != 0
    assert su(host, person, GOOD) != 0

    host.check_output(f"faillock --user {person} --reset")

    assert su(host, person, GOOD) == 0
    assert settings(host, "/etc/security/faillock.conf") == {"deny": "5", "fail_interval": "900", "unlock_time": "600"}


@pytest.mark.control("accounts-02")
def test_a_login_forgets_wrong_passwords(host, person):
    assert su(host, person, "wrong") != 0
    assert len(host.check_output(f"faillock --user {person}").splitlines()) == 3

    assert su(host, person, GOOD) == 0

    assert len(host.check_output(f"faillock --user {person}").splitlines()) == 2


def change_own_password(host, person, password):
    """By passwd, as a person does. Without the least age of a password, which would refuse any."""
    host.check_output(f"chage --mindays 0 {person}")
    return ask(host, person, "passwd", "|".join([GOOD, *[password] * 3])).rc


@pytest.mark.control("accounts-03")
def test_strong_password_is_taken(host, person):
    assert change_own_password(host, person, NEXT) == 0
    assert su(host, person, NEXT) == 0


@pytest.mark.control("accounts-03")
@pytest.mark.parametrize("weak", ["Short-7-word", "onlylowercaseletters", "Harbour-7-aaaa-Mosaic", "Velvet-9-efghi-Mosaic"])
def test_weak_password_is_refused(host, person, weak):
    assert change_own_password(host, person, weak) != 0
    assert su(host, person, GOOD) == 0


@pytest.mark.control("accounts-04")
def test_root_cannot_set_a_weak_password(host, person):
    host.run("printf 'short\\nshort\\nshort\\nshort\\nshort\\nshort\\n' | passwd %s", person)

    assert su(host, person, "short") != 0


@pytest.mark.control("accounts-05")
def test_earlier_password_is_refused(host, person):
    host.check_output(f"printf '{NEXT}\n{NEXT}\n' | passwd {person}")
    assert su(host, person, NEXT) == 0

    host.run(f"printf '{GOOD}\\n{GOOD}\\n' | passwd {person}")

    assert su(host, person, NEXT) == 0


@pytest.mark.control("accounts-06")
def test_hash_is_yescrypt(host, person):
    for command in (f"echo '{person}:{NEXT}' | chpasswd", f"printf '{NEXT}-x\\n{NEXT}-x\\n' | passwd {person}"):
        host.check_output(command)
        assert host.check_output(f"getent shadow {person} | cut -d : -f 2").startswith("$y$")
    assert settings(host, "/etc/login.defs")["ENCRYPT_METHOD"] == "YESCRYPT"


@pytest.mark.control("accounts-07")
def test_new_files_are_closed_to_others(host, person):
    assert host.check_output(f"su - {person} -c umask") == "0027"
    assert host.file(f"/home/{person}").mode == 0o750


@pytest.mark.control("accounts-08")
def test_passwords_age(host, person):
    aging = host.check_output(f"getent shadow {person}").split(":")[3:6]
    defaults = settings(host, "/etc/login.defs")

    assert aging == ["1", "99999", "7"]
    assert (defaults["LOGIN_RETRIES"], defaults["LOGIN_TIMEOUT"]) == ("3", "60")


@pytest.mark.control("accounts-09")
def test_idle_shell_ends(host):
    assert host.check_output("bash --login -c 'echo $TMOUT'") == "900"
    assert host.run("bash --login -c 'TMOUT=0'").rc != 0


@pytest.mark.control("accounts-10")
def test_banner_warns_and_tells_nothing(host):
    for path in ("/etc/issue", "/etc/issue.net", "/etc/motd"):
        file = host.file(path)
        assert "Authorized use only" in file.content_string
        assert not re.search(r"\\[mrsv]|Debian|Linux", file.content_string)
        assert (file.user, file.mode) == ("root", 0o644)
    assert host.run("test -x /etc/update-motd.d/10-uname").rc != 0


@pytest.mark.control("accounts-11")
def test_sudo_gives_a_terminal_of_its_own(host):
    # -V, as root, prints what is in force.
    assert re.search(r"(?mi)^Always run commands in a pseudo-tty$|use_pty", host.check_output("sudo -V"))


@pytest.mark.control("accounts-12")
def test_sudo_writes_a_log(host):
    argument = uuid4().hex
    host.check_output(f"sudo -n true {argument}")

    assert argument in host.file("/var/log/sudo.log").content_string
    assert "/var/log/sudo.log" in host.check_output("logrotate --debug /etc/logrotate.d/crowsnest-sudo 2>&1")


@pytest.mark.control("accounts-13")
def test_sudo_asks_again(host):
    values = host.check_output("sudo -V")

    assert "Authentication timestamp timeout: 5.0 minutes" in values
    assert "Number of tries to enter a password: 3" in values


@pytest.mark.control("accounts-14")
def test_only_administrators_use_su(host, person):
    assert su(host, person, GOOD, as_user="nobody") != 0
    assert su(host, person, GOOD) == 0


def modes(host, paths):
    lines = host.check_output(f"stat --format '%n %a %U' {paths} 2>/dev/null || true").splitlines()
    return {name: (int(mode, 8), user) for name, mode, user in (line.split() for line in lines)}


@pytest.mark.control("accounts-15")
def test_files_of_accounts_are_closed(host):
    for mask, paths in (
        (0o644, "/etc/passwd /etc/passwd- /etc/group /etc/group- /etc/shells"),
        (0o640, "/etc/shadow /etc/shadow- /etc/gshadow /etc/gshadow-"),
        (0o600, "/etc/security/opasswd"),
    ):
        found = modes(host, paths)
        assert found
        assert {name for name, (mode, user) in found.items() if mode & ~mask or user != "root"} == set()


@pytest.mark.control("accounts-16")
def test_jobs_of_root_are_closed(host):
    for mask, paths in ((0o700, "/etc/crontab /etc/cron.d /etc/cron.*ly"), (0o750, "/etc/sudoers.d")):
        found = modes(host, paths)
        assert found
        assert {name for name, (mode, user) in found.items() if mode & ~mask or user != "root"} == set()


@pytest.mark.control("accounts-17")
def test_root_alone_leaves_jobs(host):
    for path in ("/etc/cron.allow", "/etc/at.allow"):
        file = host.file(path)
        assert (file.content_string, file.user, file.mode) == ("root\n", "root", 0o640)
        assert not host.file(path.replace("allow", "deny")).exists


@pytest.mark.control("accounts-18")
def test_no_account_without_a_password_and_one_root(host):
    assert host.check_output("awk -F: '$2 == \"\"' /etc/shadow") == ""
    assert host.check_output("awk -F: '$3 == 0 { print $1 }' /etc/passwd") == "root"


@pytest.mark.control("accounts-19")
def test_root_has_no_password(host):
    assert host.check_output("getent shadow root | cut -d : -f 2")[0] in "!*"
