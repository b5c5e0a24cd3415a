"""The clock follows the chosen servers and nothing else, as chronyd itself understands its configuration."""

import pytest


@pytest.fixture
def directives(host):
    """Directives as chronyd reads them, includes resolved: name to values, in order."""
    found: dict[str, list[str]] = {}
    for line in host.check_output("chronyd -p").splitlines():
        name, _, value = line.partition(" ")
        found.setdefault(name, []).append(value)
    return found


@pytest.mark.control("time-01")
def test_no_other_daemon_sets_the_clock(host):
    others = "systemd-timesyncd.service ntp.service ntpsec.service openntpd.service"

    assert "active" not in host.run(f"systemctl is-active {others}").stdout.split()
    assert not host.file("/usr/lib/systemd/systemd-timesyncd").exists


@pytest.mark.control("time-02")
def test_time_comes_from_the_chosen_servers_only(directives):
    assert directives["pool"] == ["2.debian.pool.ntp.org iburst"]
    assert {"server", "peer", "refclock", "sourcedir", "confdir", "include", "local"} & set(directives) == set()


@pytest.mark.control("time-04")
def test_daemon_leaves_the_rights_of_root(directives):
    assert directives["user"] == ["_chrony"]


@pytest.mark.control("time-05")
def test_daemon_is_told_to_listen_nowhere(directives):
    assert (directives["port"], directives.get("cmdport")) == (["0"], ["0"])


@pytest.mark.control("time-06")
def test_clock_jumps_only_after_a_boot(directives):
    assert directives["makestep"] == ["1 3"]
    assert directives.get("maxchange") == ["1000 1 -1"]
    assert directives.get("leapsecmode") == ["slew"]
    assert directives.get("maxupdateskew") == ["100.0"]


@pytest.mark.control("time-07")
def test_several_sources_have_to_agree(directives):
    assert directives["minsources"] == ["2"]


@pytest.mark.control("time-08")
def test_offset_is_on_record(directives):
    assert directives.get("log") == ["tracking"]
    assert directives["logdir"] == ["/var/log/chrony"]
    assert directives["logchange"] == ["0.1"]


@pytest.mark.control("time-09")
def test_a_boot_begins_with_a_clock_that_is_nearly_right(directives):
    assert directives.get("rtcsync") == [""]
    assert directives["driftfile"] == ["/var/lib/chrony/chrony.drift"]
    assert directives["ntsdumpdir"] == ["/var/lib/chrony"]


@pytest.mark.vm
@pytest.mark.control("time-03", "time-04", "time-05")
def test_chrony_runs_without_rights_and_without_ports(host):
    assert host.check_output("systemctl is-enabled chrony.service") == "enabled"
    assert host.check_output("ps -o user= -C chronyd").split() == ["_chrony", "_chrony"]
    assert "chronyd" not in host.check_output("ss --listening --udp --tcp --processes --no-header")
    # Answers over its socket; where no server can be reached it still knows that it has some.
    sources = [int(count) for count in host.check_output("chronyc -c activity").split(",")]
    assert sum(sources) >= 1


@pytest.mark.container
@pytest.mark.control("time-04", "time-05")
def test_chrony_accepts_all_of_it(host):
    """A container may not set its clock: here the daemon runs for a moment with -x, which leaves the clock alone."""
    ports = "ss --listening --udp --no-header 'sport = :123 or sport = :323'"
    look = f"sleep 1 && ps -o user= -C chronyd && {ports} && chronyc -c activity"
    answer = host.check_output(f"chronyd -x && {look}; pkill chronyd").split()

    assert set(answer[:-1]) == {"_chrony"}
    assert sum(map(int, answer[-1].split(","))) >= 1
