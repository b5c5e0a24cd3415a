"""What answers, asked from a network that the test builds around the machine, and which rules the kernel has."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROBE = Path(__file__).with_name("probe.py").read_text(encoding="utf-8")
RULES = "/etc/crowsnest-firewall.nft"
UNIT = "crowsnest-firewall.service"


def probe(host, what: str):
    """What probe.py prints."""
    said = host.check_output(
        "ssh=$(nft --json list set inet crowsnest ssh_ports | sed 's/.*\"elem\": \\[\\([0-9]*\\).*/\\1/')\n"
        "folder=$(mktemp -d)\n"
        f"cat >$folder/probe.py <<'END'\n{PROBE}\nEND\n"
        f"python3 $folder/probe.py {what}:$ssh; status=$?; rm -r $folder; exit $status"
    )
    return json.loads(said)


def table(host) -> str:
    """The rules in the kernel, without counters and what the sets have learnt."""
    return host.check_output("nft --stateless --terse list table inet crowsnest")


@pytest.mark.control("firewall-01", "firewall-05", "firewall-06", "firewall-07", "firewall-08")
def test_exactly_the_allowed_doors_answer(host):
    answers = probe(host, "doors")

    assert answers == {
        f"{version} {door}": answer
        for version in ("IPv4", "IPv6")
        for door, answer in {
            "ssh": True,
            "closed": False,
            "published, allowed": True,
            "published by mistake": False,
            "container itself": False,
            "machine's ssh from a container": False,
            "machine from a container": False,
            "outside from a container": True,
        }.items()
    }


@pytest.mark.control("firewall-05")
def test_address_that_knocks_too_often_at_ssh_is_not_heard(host):
    # What other tests knocked within the last minute counts, too.
    host.check_output("nft flush set inet crowsnest ssh_new_ip")
    answered = sum(probe(host, "flood"))

    # 30 a minute; on a busy machine a request is sent twice, and counts twice.
    assert 25 <= answered < 45, f"{answered} of 60 connections in a moment"


@pytest.mark.control("firewall-12")
def test_address_that_knocks_too_often_at_a_published_port_is_not_heard(host):
    host.check_output("nft flush set inet crowsnest published_new_ip")
    answered = sum(probe(host, "published"))

    # 30 a minute here, see converge.yml.
    assert 25 <= answered < 45, f"{answered} of 60 connections in a moment"


@pytest.mark.control("firewall-06")
def test_ports_of_the_stack_are_allowed_beside_those_of_the_machine(host):
    listed = json.loads(host.check_output("nft --json list set inet crowsnest allowed_tcp_ports"))["nftables"]
    (ports,) = [entry["set"]["elem"] for entry in listed if "set" in entry]

    assert {8443, 9443} <= set(ports)


@pytest.mark.control("firewall-04")
def test_ping_is_answered_within_bounds(host):
    answered = probe(host, "ping")

    assert 1 <= answered < 45, f"{answered} of 60 pings in a moment"


@pytest.mark.control("firewall-01", "firewall-08")
def test_what_is_not_allowed_is_dropped(host):
    listed = json.loads(host.check_output("nft --json list chains inet"))["nftables"]
    chains = {entry["chain"]["name"]: entry["chain"] for entry in listed if entry.get("chain", {}).get("table") == "crowsnest"}

    assert {name: (chain["hook"], chain["prio"], chain["policy"]) for name, chain in chains.items() if "hook" in chain} == {
        "input": ("input", 0, "drop"),
        "forward": ("forward", -10, "drop"),
    }


@pytest.mark.control("firewall-02", "firewall-03", "firewall-04", "firewall-09")
def test_rules_in_the_kernel(host):
    lines = [line.strip() for line in table(host).splitlines()]

    for rule in (
        'iifname "lo" accept comment "firewall-03 the machine talks to itself"',
        'ip saddr 127.0.0.0/8 counter drop comment "firewall-03 nobody else has its addresses"',
        'ip6 saddr ::1 counter drop comment "firewall-03 nobody else has its addresses"',
        'ct state established,related accept comment "firewall-02 answers"',
        'ct state invalid counter drop comment "firewall-02 belongs to no connection"',
        (
            "icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept"
            ' comment "firewall-04 neighbours"'
        ),
    ):
        assert rule in lines
    logs = [line for line in lines if " log prefix " in line]
    assert len(logs) == 3
    assert all(line.startswith("limit rate 10/minute burst 10 packets log") for line in logs)


@pytest.mark.control("firewall-10")
def test_rules_are_loaded_before_there_is_a_network(host):
    found = host.check_output(f"systemctl show --property UnitFileState,ActiveState,Before,After {UNIT}")
    properties = dict(line.split("=", 1) for line in found.splitlines())

    assert (properties["UnitFileState"], properties["ActiveState"]) == ("enabled", "active")
    assert {"network-pre.target", "docker.service"} <= set(properties["Before"].split())
    assert "nftables.service" in properties["After"].split()


@pytest.mark.control("firewall-11")
def test_file_speaks_of_no_other_table(host):
    text = host.file(RULES).content_string
    statements = [line for line in text.splitlines() if re.match(r"[a-z]", line)]

    assert statements == ["table inet crowsnest", "delete table inet crowsnest", "table inet crowsnest {"]
    assert host.file(RULES).mode == 0o644


@pytest.mark.container
@pytest.mark.control("firewall-11")
def test_tables_of_others_outlive_reload_and_stop(host):
    host.check_output("nft 'table inet other { chain input { type filter hook input priority 5; counter; }; }'")
    try:
        seen = [
            "inet other" in host.check_output(f"systemctl {verb} {UNIT} && nft list tables")
            for verb in ("reload", "restart", "stop")
        ]
        left = host.check_output("nft list tables")
    finally:
        host.check_output(f"nft delete table inet other; systemctl start {UNIT}")

    assert seen == [True, True, True]
    assert "inet crowsnest" not in left


# Drills


def ansible(program: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [Path(sys.executable).with_name(program), f"--inventory={os.environ['MOLECULE_INVENTORY_FILE']}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def converge(**variables) -> subprocess.CompletedProcess:
    """The scenario's converge with other variables."""
    playbook = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "converge.yml"
    return ansible("ansible-playbook", f"--extra-vars={json.dumps(variables)}", str(playbook))


@pytest.mark.container
@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"firewall_ssh_ports": [2022]}, "sshd listens on 22"),
        ({"firewall_container_interfaces": ["eth*"]}, "is reached through eth0"),
        ({"firewall_ssh_sources": []}, "must not be empty"),
        ({"firewall_ssh_sources": ["everywhere"]}, "failed to validate"),
    ],
    ids=["port", "interface", "sources", "broken"],
)
def test_drill_refused_change_leaves_everything_as_it_was(host, variables, why):
    before = table(host), host.check_output(f"sha256sum {RULES}")

    run = converge(**variables)

    assert run.returncode == 2
    assert why in run.stdout
    assert (table(host), host.check_output(f"sha256sum {RULES}")) == before
    # What validation refuses was armed already; the timer would only put back what is there.
    host.run("systemctl start crowsnest-revert-firewall.service")


@pytest.mark.container
def test_drill_rule_that_cuts_the_connection_undoes_itself(host, tmp_path):
    key = tmp_path / "key"
    key.write_text(host.file("/root/.ssh/id_ed25519").content_string, encoding="ascii")
    key.chmod(0o600)
    by_ssh = {
        "ansible_connection": "ssh",
        "ansible_host": host.check_output("hostname --all-ip-addresses").split()[0],
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_common_args": "-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=2",
    }
    before = table(host)

    # A network that this test is not in: valid, and no connection by ssh gets through any more.
    run = converge(**by_ssh, firewall_ssh_sources=["192.0.2.0/24"], firewall_confirm_seconds=10)
    limit = time.monotonic() + 60
    while (back := ansible("ansible", "all", f"--extra-vars={json.dumps(by_ssh)}", "-m", "ping")).returncode:
        assert time.monotonic() < limit, back.stdout
    status = host.check_output("ls /var/lib/crowsnest/commit-confirm/firewall")

    assert run.returncode != 0
    # Late enough, the connection gets through because the change is undone already; that is no confirmation.
    assert "was undone" in run.stdout or "Confirm the change" not in run.stdout
    assert table(host) == before
    assert "reverted" in status
