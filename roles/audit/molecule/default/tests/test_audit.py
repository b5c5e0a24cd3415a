"""The rules are those of the benchmark, the kernel has them all, and nothing that a full disk does stops the machine."""

import os
import re

import pytest

RULES = "/etc/audit/rules.d/crowsnest.rules"
VM = os.environ.get("CROWSNEST_TIER") == "vm"
USERS = "-F auid>=1000 -F auid!=unset"
PROGRAMS = ("dockerd", "containerd", "containerd-shim-runc-v2", "runc")
ENGINE = [f"{folder}/{name}" for folder in ("/usr/sbin", "/usr/bin") for name in PROGRAMS]


def calls(text):
    return [f"-a always,exit -F arch={arch} {text}" for arch in ("b64", "b32")]


def runs(*paths):
    return [f"-a always,exit -F path={path} -F perm=x {USERS}" for path in paths]


def changes(*paths):
    return [f"-w {path} -p wa" for path in paths]


# By key: the control, and the rules that have to be there. `privileged` depends on the machine and has a test of its own.
WANTED = {
    "scope": ("audit-09", changes("/etc/sudoers", "/etc/sudoers.d")),
    "user_emulation": ("audit-10", calls("-C euid!=uid -F auid!=unset -S execve")),
    "sudo_log_file": ("audit-11", changes("/var/log/sudo.log")),
    "time-change": (
        "audit-12",
        [
            *calls("-S settimeofday,clock_settime"),
            *calls("-S adjtimex,clock_adjtime -F auid!=unset"),
            *changes("/etc/localtime"),
        ],
    ),
    "system-locale": (
        "audit-13",
        [
            *calls("-S sethostname,setdomainname"),
            *changes("/etc/issue", "/etc/issue.net", "/etc/hosts", "/etc/hostname", "/etc/networks", "/etc/network"),
            *changes("/etc/netplan", "/etc/systemd/network"),
        ],
    ),
    "access": (
        "audit-15",
        [
            rule
            for error in ("EACCES", "EPERM")
            for rule in calls(f"-S creat,open,openat,openat2,truncate,ftruncate -F exit=-{error} {USERS}")
        ],
    ),
    "identity": (
        "audit-16",
        [
            *changes("/etc/group", "/etc/passwd", "/etc/gshadow", "/etc/shadow", "/etc/security/opasswd"),
            *changes("/etc/nsswitch.conf", "/etc/pam.conf", "/etc/pam.d"),
        ],
    ),
    "perm_mod": (
        "audit-17",
        [
            *calls(f"-S chmod,fchmod,fchmodat {USERS}"),
            *calls(f"-S chown,fchown,lchown,fchownat {USERS}"),
            *calls(f"-S setxattr,lsetxattr,fsetxattr,removexattr,lremovexattr,fremovexattr {USERS}"),
        ],
    ),
    "mounts": ("audit-18", calls(f"-S mount,move_mount {USERS}")),
    "session": ("audit-19", changes("/run/utmp", "/var/log/wtmp", "/var/log/btmp")),
    "logins": ("audit-20", changes("/var/log/lastlog", "/run/faillock")),
    "delete": ("audit-21", calls(f"-S unlink,unlinkat,rename,renameat,renameat2 {USERS}")),
    "MAC-policy": ("audit-22", changes("/etc/apparmor", "/etc/apparmor.d")),
    "perm_chng": ("audit-23", runs("/usr/bin/chcon", "/usr/bin/setfacl")),
    "priv_chng": ("audit-24", runs("/usr/bin/chacl")),
    "usermod": ("audit-25", runs("/usr/sbin/usermod")),
    "kernel_modules": (
        "audit-26",
        [
            *calls(f"-S init_module,finit_module,delete_module {USERS}"),
            *calls("-S init_module,finit_module,delete_module -F auid=unset"),
            *runs("/usr/bin/kmod"),
        ],
    ),
    "docker": (
        "audit-27",
        [
            *changes("/etc/docker", "/etc/containerd", "/etc/default/docker", "/run/docker.sock", "/etc/systemd/system"),
            *changes(
                *(f"/usr/lib/systemd/system/{unit}" for unit in ("docker.service", "docker.socket", "containerd.service"))
            ),
            *changes(*ENGINE),
            *runs(*ENGINE),
            f"-a always,exit -F dir=/run/containerd -F perm=wa {USERS}",
        ],
    ),
    "sshd": ("audit-28", changes("/etc/ssh")),
    "audit-config": ("audit-29", changes("/etc/audit")),
    "crowsnest": ("audit-30", changes("/etc/crowsnest")),
}
EXCLUDED = ["SERVICE_START", "SERVICE_STOP", "BPF", "CRYPTO_KEY_USER", "CRYPTO_SESSION"]


def settings(text, separator="="):
    """Lines `name = value` as a dictionary."""
    pairs = (line.split(separator, 1) for line in text.splitlines() if separator in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def meaning(rule):
    """A rule, whether written as auditctl reads it or as it shows it: the set of its fields."""
    for shown, written in (("-F key=", "-k "), ("=-1", "=unset"), (" -S all", ""), ("uid!=euid", "euid!=uid")):
        rule = rule.replace(shown, written)
    fields = re.findall(r"(-\w) (\S+)", rule)
    names = {name for flag, value in fields if flag == "-S" for name in value.split(",")}
    return frozenset({(flag, value.rstrip("/")) for flag, value in fields if flag != "-S"} | {("-S", name) for name in names})


def rules_of(text):
    return [line for line in text.splitlines() if re.match(r"-[aw] ", line)]


@pytest.fixture
def rules(host):
    """Rules that are loaded at boot, and on a machine of its own those that are loaded."""
    text = host.check_output(f"cat {RULES}; echo ====; " + ("auditctl -l" if VM else "true"))
    placed, loaded = text.split("====")
    return rules_of(placed), rules_of(loaded)


def of_key(rules, key):
    return {meaning(rule) for rule in rules if re.search(rf"(-k |key=){re.escape(key)}$", rule)}


@pytest.mark.parametrize(
    ("key", "wanted"),
    [pytest.param(key, wanted, id=key, marks=pytest.mark.control(control)) for key, (control, wanted) in WANTED.items()],
)
def test_rules_are_placed_and_loaded(rules, key, wanted):
    placed, loaded = rules

    assert of_key(placed, key) == {meaning(f"{rule} -k {key}") for rule in wanted}
    if VM:
        assert of_key(loaded, key) == of_key(placed, key)


@pytest.mark.control("audit-14")
def test_every_privileged_program_of_the_machine_has_a_rule(host, rules):
    placed, loaded = rules
    find = host.check_output(
        "find / -xdev -type f -perm /6000 -not -path '/var/lib/docker/*' -not -path '/var/lib/containerd/*'"
    )

    assert "/usr/bin/passwd" in find
    assert of_key(placed, "privileged") == {meaning(f"{rule} -k privileged") for rule in runs(*find.splitlines())}
    if VM:
        assert of_key(loaded, "privileged") == of_key(placed, "privileged")


@pytest.mark.control("audit-08")
def test_what_nobody_misses_is_left_out(rules):
    placed, loaded = rules
    wanted = [f"-a always,exclude -F msgtype={name}" for name in EXCLUDED]

    assert [rule for rule in placed if "exclude" in rule] == wanted
    # The oldest kernel tools show the two words the other way round.
    assert not VM or {re.sub(r".*msgtype=", "", rule) for rule in loaded if "exclude" in rule} == set(EXCLUDED)


def test_every_system_call_is_known_for_both_kinds_of_programs(host, rules):
    names = {name for rule in rules[0] for group in re.findall(r"-S (\S+)", rule) for name in group.split(",")}
    known = [set(host.check_output(f"ausyscall {machine} --dump | cut -f 2").splitlines()) for machine in ("x86_64", "i386")]

    assert [names - calls for calls in known] == [set(), set()]


def test_neither_layers_of_containers_nor_their_programs_are_watched(rules):
    """Each health check of each container would be several events."""
    assert [rule for rule in rules[0] if "/var/lib/docker" in rule or "/var/lib/containerd" in rule] == []
    assert [rule for rule in rules[0] if "runc" in rule and "perm=x" in rule and "auid!=unset" not in rule] == []


@pytest.mark.control("audit-06", "audit-07")
def test_queue_is_long_nobody_waits_for_it_and_the_rules_are_locked(host):
    wanted = {"backlog_limit": "8192", "backlog_wait_time": "0", "failure": "1", "enabled": "2"}
    flags = {"-b": "backlog_limit", "--backlog_wait_time": "backlog_wait_time", "-f": "failure", "-e": "enabled"}
    words = [line.split() for line in host.file(RULES).content_string.splitlines()]

    assert {flags[word[0]]: word[1] for word in words if word and word[0] in flags} == wanted
    if VM:
        status = dict(line.split(maxsplit=1) for line in host.check_output("auditctl -s").splitlines())
        assert {name: status[name] for name in wanted} == wanted


@pytest.mark.control("audit-32")
def test_rules_of_the_next_boot_are_complete(host):
    """Debian's own values come first in the file that is loaded, so they do not override the role's."""
    if VM:
        assert "No change" in host.check_output("augenrules --check")
        host.run_expect([0], "systemctl is-active --quiet auditd.service")
    names = host.check_output("ls -1v /etc/audit/rules.d").splitlines()

    assert names.index("audit.rules") < names.index("crowsnest.rules")
    # A rule that is refused does not keep out those that follow.
    assert host.file(RULES).content_string.splitlines().index("-i") < 5


@pytest.mark.control("audit-01")
def test_daemon_starts_at_boot(host):
    assert host.package("auditd").is_installed
    assert host.service("auditd").is_enabled
    assert not VM or host.service("auditd").is_running


@pytest.mark.control("audit-02")
def test_logs_are_bounded(host):
    conf = settings(host.file("/etc/audit/auditd.conf").content_string)

    assert (conf["max_log_file"], conf["num_logs"], conf["max_log_file_action"]) == ("32", "10", "ROTATE")


@pytest.mark.control("audit-03")
def test_full_disk_never_stops_the_machine(host):
    conf = settings(host.file("/etc/audit/auditd.conf").content_string)
    actions = {name: value for name, value in conf.items() if name.endswith("_action")}

    assert {name: actions[name] for name in ("space_left_action", "admin_space_left_action", "disk_full_action")} == {
        "space_left_action": "SYSLOG",
        "admin_space_left_action": "ROTATE",
        "disk_full_action": "ROTATE",
    }
    assert not {"HALT", "SINGLE", "SUSPEND"} & {value.upper() for value in actions.values()}
    assert int(conf["space_left"]) > int(conf["admin_space_left"])


@pytest.mark.control("audit-04")
def test_only_root_writes_and_only_administrators_read(host):
    conf = settings(host.file("/etc/audit/auditd.conf").content_string)
    tools = "/usr/sbin/auditctl /usr/sbin/aureport /usr/sbin/ausearch /usr/sbin/auditd /usr/sbin/augenrules"
    found = host.check_output(f"find /etc/audit /var/log/audit {tools} -printf '%p %m %u %g\\n'")

    assert conf["log_group"] == "adm"
    for path, mode, user, group in map(str.split, found.splitlines()):
        others, write = int(mode, 8) & 0o007, int(mode, 8) & 0o022
        assert (user, write) == ("root", 0), path
        assert group in ("root", "adm"), path
        assert others == 0 or path.startswith("/usr/sbin"), path


@pytest.mark.control("audit-05")
def test_records_carry_names_and_are_written_in_batches(host):
    conf = settings(host.file("/etc/audit/auditd.conf").content_string)

    assert (conf["log_format"], conf["flush"], conf["freq"]) == ("ENRICHED", "INCREMENTAL_ASYNC", "50")


@pytest.mark.control("audit-31")
@pytest.mark.container
def test_boot_loader_tells_the_kernel(host):
    """The scenario's boot loader reads its settings as GRUB's does."""
    assert host.file("/boot/grub/grub.cfg").content_string.split() == [
        "linux",
        "/vmlinuz",
        "quiet",
        "audit=1",
        "audit_backlog_limit=8192",
    ]


@pytest.mark.control("audit-33")
def test_folders_that_rules_need_are_there_before_the_rules(host):
    lines = host.check_output("systemd-tmpfiles --cat-config").splitlines()

    assert {"d /run/faillock 0755 root root -", "d /run/containerd 0711 root root -"} <= set(lines)
    assert host.file("/run/faillock").is_directory
    assert host.file("/run/containerd").is_directory


def test_watched_files_come_before_what_is_recorded_of_all_files(rules):
    """The first rule that fits an event names it: a removed key of sshd is an event of sshd."""
    for some in rules if VM else rules[:1]:
        watched = [number for number, rule in enumerate(some) if rule.startswith("-w ")]
        general = [number for number, rule in enumerate(some) if re.search(r"(-k |key=)(delete|perm_mod|access)$", rule)]
        assert max(watched) < min(general)


@pytest.mark.vm
def test_a_touched_watched_file_is_found(host):
    # The daemon writes in batches; the second call waits for the first one's record.
    host.check_output("touch /etc/ssh/crowsnest-probe && rm /etc/ssh/crowsnest-probe && sleep 3")
    found = host.check_output("ausearch --key sshd --start recent --interpret --input-logs")

    assert "/etc/ssh/crowsnest-probe" in found
    assert re.search(r"syscall=unlinkat", found)


@pytest.mark.vm
@pytest.mark.control("audit-08")
def test_an_idle_host_writes_at_most_one_event_a_second(host):
    log = "/var/log/audit/audit.log"
    new = host.check_output(f"size=$(stat --format %s {log}); sleep 30; tail --bytes +$((size + 1)) {log}")

    events = set(re.findall(r"msg=audit\(([^)]+)\)", new))

    assert len(events) <= 30, new[-3000:]
