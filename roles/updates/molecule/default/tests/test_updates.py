"""apt's own answers: what would be installed, from where, when, and what is left alone."""

import re

import pytest

ENGINE = ["docker.io", "docker-cli", "docker-ce", "docker-ce-cli", "containerd", "containerd.io", "runc"]
FORBIDDEN = [
    "telnet",
    "inetutils-telnet",
    "rsh-client",
    "nis",
    "talk",
    "ftp",
    "tnftp",
    "telnetd",
    "rsh-server",
    "xinetd",
    "tftpd",
]


def apt(host, *names):
    """Values as apt has them after all its files; of a list, the list."""
    dump = host.check_output("apt-config dump")
    found = {name: re.findall(rf'(?mi)^{re.escape(name)}(?:::)? "(.+)";$', dump) for name in names}
    return {name: values if len(values) > 1 else "".join(values) for name, values in found.items()}


def allowed_origins(host):
    output = host.check_output("unattended-upgrade --dry-run --debug 2>&1 || true")
    return output, re.findall(r"Allowed origins are: (.*)", output)


def installed_packages(host):
    listed = host.check_output("dpkg-query --show --showformat '${db:Status-Status} ${Package}\\n'")
    return set(re.findall(r"(?m)^installed (.*)$", listed))


@pytest.mark.control("updates-01")
def test_lists_are_fetched_and_updates_installed_every_day(host):
    wanted = {"Enable": "1", "Update-Package-Lists": "1", "Unattended-Upgrade": "1", "AutocleanInterval": "7"}

    assert apt(host, *(f"APT::Periodic::{name}" for name in wanted)) == {
        f"APT::Periodic::{name}": wanted[name] for name in wanted
    }


@pytest.mark.control("updates-02", "updates-03")
def test_only_security_updates_and_never_the_engine(host):
    """The program's own words."""
    release = host.check_output("sed -n 's/^VERSION_CODENAME=//p' /etc/os-release")
    blacklist = apt(host, "Unattended-Upgrade::Package-Blacklist")["Unattended-Upgrade::Package-Blacklist"]

    output, origins = allowed_origins(host)

    assert origins == [f"origin=Debian,codename={release}-security,label=Debian-Security"], output
    assert [name for name in ENGINE if not any(re.match(pattern.replace("\\\\", "\\"), name) for pattern in blacklist)] == []
    assert not any(re.match(pattern, "runc-like") for pattern in blacklist)
    assert re.search(r"Initial blacklist: .*docker", output), output


@pytest.mark.control("updates-04")
def test_machine_does_not_reboot_by_itself(host):
    assert apt(host, "Unattended-Upgrade::Automatic-Reboot") == {"Unattended-Upgrade::Automatic-Reboot": "false"}


@pytest.mark.control("updates-05")
def test_updates_come_one_by_one_and_are_on_record(host):
    wanted = {
        "MinimalSteps": "true", "SyslogEnable": "true", "InstallOnShutdown": "false", "Remove-Unused-Kernel-Packages": "true",
        "Remove-New-Unused-Dependencies": "true", "Remove-Unused-Dependencies": "false",
    }  # fmt: skip

    values = apt(host, *(f"Unattended-Upgrade::{name}" for name in wanted))

    assert values == {f"Unattended-Upgrade::{name}": value for name, value in wanted.items()}


@pytest.mark.control("updates-06")
def test_changed_configuration_files_stay_and_do_not_stop_updates(host):
    assert apt(host, "DPkg::Options") == {"DPkg::Options": ["--force-confdef", "--force-confold"]}


@pytest.mark.control("updates-07")
def test_nothing_unsigned_is_taken(host):
    names = [
        "Acquire::AllowInsecureRepositories",
        "Acquire::AllowWeakRepositories",
        "Acquire::AllowDowngradeToInsecureRepositories",
        "APT::Get::AllowUnauthenticated",
    ]

    assert set(apt(host, *names).values()) == {"false"}


@pytest.mark.container
@pytest.mark.control("updates-07")
def test_an_unsigned_repository_is_refused(host):
    host.check_output("mkdir -p /tmp/unsigned/lists/partial && : > /tmp/unsigned/Packages")
    host.check_output("echo 'deb file:/tmp/unsigned ./' > /tmp/unsigned/list")
    options = (
        "-o Dir::Etc::SourceList=/tmp/unsigned/list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=/tmp/unsigned/lists"
    )

    run = host.run(f"apt-get update {options}; status=$?; rm -r /tmp/unsigned; exit $status")

    assert run.rc != 0
    assert "does not have a Release file" in run.stderr


@pytest.mark.control("updates-08")
def test_needrestart_restarts_nothing(host):
    """needrestart's configuration as Perl reads it, drop-ins included."""
    program = 'our %nrconf; our $LOGPREF = ""; do "/etc/needrestart/needrestart.conf"; print $nrconf{restart};'

    assert host.check_output(f"perl -e '{program}'") == "l"


@pytest.mark.control("updates-09")
def test_timers_run_at_the_chosen_time_with_jitter(host):
    names = "Id,TimersCalendar,ActiveState,UnitFileState,RandomizedDelayUSec,Persistent"
    shown = host.check_output(f"systemctl show apt-daily.timer apt-daily-upgrade.timer --property={names}")
    download, upgrade = (dict(line.split("=", 1) for line in part.splitlines()) for part in shown.split("\n\n"))

    for timer in (download, upgrade):
        assert (timer["ActiveState"], timer["UnitFileState"], timer["Persistent"]) == ("active", "enabled", "yes")
    assert re.findall(r"OnCalendar=([^;]+) ;", upgrade["TimersCalendar"]) == ["*-*-* 06:00:00"]
    assert upgrade["RandomizedDelayUSec"] == "30min"


@pytest.mark.control("updates-10")
def test_installed_engine_is_held(host):
    installed = installed_packages(host)
    held = host.check_output("apt-mark showhold").splitlines()

    assert "runc" in held
    assert set(held) == set(ENGINE) & installed


@pytest.mark.control("updates-11")
def test_programs_with_passwords_in_the_clear_are_gone(host):
    installed = installed_packages(host)

    assert sorted(set(FORBIDDEN) & installed) == []
