"""Who keeps failing to log in is shut out: from fail2ban's own answers, and from what the kernel holds."""

import json

import pytest

# Nobody has it (RFC 5737).
ADDRESS = "203.0.113.66"


def ask(host, *questions: str) -> dict[str, str]:
    """Answers of `fail2ban-client`, each the last line that it says."""
    script = "; ".join(f"fail2ban-client get {question} 2>&1 | tail -n 1" for question in questions)
    return dict(zip(questions, host.check_output(script).splitlines(), strict=True))


def banned(host) -> set[str]:
    """Addresses in fail2ban's table, as the kernel has them."""
    listed = host.run("nft --json list sets inet")
    sets = [entry["set"] for entry in json.loads(listed.stdout or '{"nftables": []}')["nftables"] if "set" in entry]
    return {element for found in sets if found["table"] == "f2b-table" for element in found.get("elem", [])}


@pytest.mark.control("intrusion-01")
def test_jail_reads_the_journal_of_the_unit_of_sshd(host):
    answer = host.check_output("fail2ban-client get sshd journalmatch")

    assert [line.strip(" `-|") for line in answer.splitlines()[1:]] == ["_SYSTEMD_UNIT=ssh.service"]


@pytest.mark.control("intrusion-02")
def test_five_failures_in_ten_minutes_are_one_too_many(host):
    assert ask(host, "sshd maxretry", "sshd findtime") == {"sshd maxretry": "5", "sshd findtime": "600"}


@pytest.mark.control("intrusion-02")
@pytest.mark.parametrize("words", ["Did not receive identification string", "Unable to negotiate"])
def test_who_hangs_up_or_haggles_without_a_login_has_failed_too(host, words):
    """Both are only in the filter's modes for those who never get as far as a password."""
    assert words in host.check_output("fail2ban-client get sshd failregex")


@pytest.mark.control("intrusion-03")
def test_each_ban_is_longer_than_the_last(host):
    asked = ask(host, "sshd bantime", "sshd bantime.increment", "sshd bantime.maxtime", "sshd bantime.rndtime", "dbpurgeage")

    assert list(asked.values())[:3] == ["3600", "True", "604800"]
    assert asked["sshd bantime.rndtime"] == "300"
    assert asked["dbpurgeage"].split()[-1].removesuffix("seconds") == "1209600"


@pytest.mark.control("intrusion-04")
def test_the_machine_itself_is_never_banned(host):
    found = host.check_output("fail2ban-client get sshd ignoreself; fail2ban-client get sshd ignoreip")

    assert found.splitlines()[0] == "True"
    assert {line.strip(" `-|") for line in found.splitlines()[2:]} == {"127.0.0.0/8", "::1"}


@pytest.mark.control("intrusion-05")
def test_ban_reaches_the_kernel_and_leaves_it(host):
    try:
        host.check_output(f"fail2ban-client set sshd banip {ADDRESS}")
        assert ADDRESS in banned(host)
        rules = host.check_output("nft list chain inet f2b-table f2b-chain")
    finally:
        host.run(f"fail2ban-client set sshd unbanip {ADDRESS}")

    assert "hook input priority filter - 1" in rules
    assert "ip saddr @addr-set-sshd drop" in rules
    assert ADDRESS not in banned(host)


@pytest.mark.control("intrusion-06")
def test_jail_is_on_now_and_after_a_boot(host):
    found = host.check_output(
        "systemctl is-enabled fail2ban.service; systemctl is-active fail2ban.service; fail2ban-client status"
    )

    assert found.splitlines()[:2] == ["enabled", "active"]
    assert found.splitlines()[-1].split()[-1] == "sshd"


ATTACK = """
remove() {
    ip netns delete cn-attacker; ip link delete cn-attack; fail2ban-client set sshd unbanip 198.51.100.66
} >/dev/null 2>&1
trap remove EXIT
remove
ip netns add cn-attacker
ip link add cn-attack type veth peer name eth0 netns cn-attacker
ip address add 198.51.100.1/24 dev cn-attack
ip link set cn-attack up
ip -n cn-attacker address add 198.51.100.66/24 dev eth0
ip -n cn-attacker link set eth0 up
knock() { ip netns exec cn-attacker timeout 5 ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o ConnectTimeout=2 \
    -o UserKnownHostsFile=/dev/null -o PreferredAuthentications=$1 $2@198.51.100.1 true 2>&1 | tail -n 1; }
knock none root
# Who guesses, and who hangs up without a login; both count.
for user in root admin oracle root postgres; do knock none $user; done >/dev/null
for second in 1 2 3 4 5 6 7 8 9 10; do
    fail2ban-client status sshd | grep -q 198.51.100.66 && break
    sleep 1
done
fail2ban-client status sshd | tail -n 1
knock none root
"""


@pytest.mark.container
@pytest.mark.control("intrusion-01", "intrusion-02", "intrusion-05")
def test_brute_force_from_a_neighbour_is_shut_out(host):
    before, ban, after = host.check_output(ATTACK).splitlines()

    assert "Permission denied (publickey)" in before
    assert "198.51.100.66" in ban
    assert "timed out" in after
