"""The kernel's parameters, modules, temporary file systems, core dumps and AppArmor, as they run and as boot sets them."""

import json
import re
from fnmatch import fnmatchcase

import pytest

RESTRICTED = {"nosuid", "nodev", "noexec"}


def control(number, values, **more):
    return pytest.param(values, marks=pytest.mark.control(f"kernel-{number:02}"), id=f"kernel-{number:02}", **more)


def parameters(text):
    """Name and value, in words: ``a.b = c``."""
    return dict(line.split(" = ") for line in text.strip().splitlines())


# Written out here and not read from the role: a value weakened there is seen.
PARAMETERS = [
    control(1, "net.ipv4.conf.*.accept_redirects=0 net.ipv4.conf.*.secure_redirects=0 net.ipv4.conf.*.send_redirects=0 "
               "net.ipv4.conf.*.shared_media=1 net.ipv6.conf.*.accept_redirects=0"),
    control(2, "net.ipv4.conf.*.accept_source_route=0 net.ipv6.conf.*.accept_source_route=0"),
    control(3, "net.ipv4.conf.*.rp_filter=1"),
    control(4, "net.ipv4.conf.*.log_martians=1"),
    control(5, "net.ipv4.conf.*.arp_announce=2 net.ipv4.conf.*.arp_ignore=1"),
    control(6, "net.ipv4.icmp_echo_ignore_broadcasts=1 net.ipv4.icmp_ignore_bogus_error_responses=1 "
               "net.ipv4.icmp_ratelimit=100 net.ipv4.icmp_ratemask=88089"),
    control(7, "net.ipv4.tcp_rfc1337=1"),
    control(8, "net.ipv4.tcp_syncookies=1"),
    control(9, "net.ipv6.conf.*.accept_ra=0 net.ipv6.conf.*.accept_ra_defrtr=0 net.ipv6.conf.*.accept_ra_pinfo=0 "
               "net.ipv6.conf.*.accept_ra_rtr_pref=0 net.ipv6.conf.*.autoconf=0 net.ipv6.conf.*.max_addresses=1 "
               "net.ipv6.conf.*.router_solicitations=0"),
    control(10, "kernel.dmesg_restrict=1 kernel.kptr_restrict=2 kernel.perf_event_paranoid=3"),
    control(11, "kernel.yama.ptrace_scope=2"),
    control(12, "kernel.unprivileged_bpf_disabled=1 net.core.bpf_jit_harden=2"),
    control(13, "kernel.kexec_load_disabled=1"),
    control(14, "kernel.sysrq=0"),
    control(15, "kernel.randomize_va_space=2"),
    control(16, "fs.protected_fifos=2 fs.protected_hardlinks=1 fs.protected_regular=2 fs.protected_symlinks=1"),
    control(17, "fs.suid_dumpable=0 kernel.core_pattern=|/bin/false kernel.core_uses_pid=1"),
    control(18, "dev.tty.ldisc_autoload=0"),
    control(31, "fs.inotify.max_user_instances=1024 vm.max_map_count=1048576 vm.overcommit_memory=1 vm.swappiness=10"),
]  # fmt: skip
EXPECTED = dict(pair.split("=") for group in PARAMETERS for pair in group.values[0].split())
HARDENING, TUNING = (f"/etc/sysctl.d/99-zz-crowsnest-{name}.conf" for name in ("hardening", "tuning"))


@pytest.fixture
def at_boot(host):
    """What boot sets, in its order: pairs of name (perhaps with a *) and value."""
    text = host.check_output("/usr/lib/systemd/systemd-sysctl --cat-config")
    return [(name.replace("/", "."), value) for name, value in re.findall(r"(?m)^-?([\w.*/-]+?)\s*=\s*(.*?)\s*$", text)]


@pytest.mark.vm
@pytest.mark.parametrize("values", PARAMETERS)
def test_kernel_runs_with_it(host, values):
    wanted = dict(pair.split("=") for pair in values.split())
    pattern = "|".join(name.replace(".", "[.]").replace("*", ".+") for name in wanted)

    running = parameters(host.check_output(f"sysctl --all --pattern '^({pattern})$'"))

    for name, value in wanted.items():
        found = {key: running[key] for key in running if fnmatchcase(key, name)}
        assert found, name
        assert found == dict.fromkeys(found, value)


@pytest.mark.parametrize("values", PARAMETERS)
def test_next_boot_sets_it(at_boot, values):
    for pair in values.split():
        name, value = pair.split("=")
        assert [found for key, found in at_boot if fnmatchcase(name, key)][-1:] == [value], name


@pytest.mark.control("kernel-30")
def test_no_other_file_has_the_last_word(at_boot):
    last = {key: value for key, value in at_boot if any(fnmatchcase(key, name) for name in EXPECTED)}

    assert {
        key for key, value in last.items() for name in EXPECTED if fnmatchcase(key, name) and value != EXPECTED[name]
    } == set()


@pytest.mark.control("kernel-31")
def test_hardening_and_tuning_share_no_parameter(host):
    files = [parameters(re.sub(r"(?m)^#.*\n", "", host.file(path).content_string)) for path in (HARDENING, TUNING)]

    assert files[0].keys() & files[1].keys() == set()
    assert files[0] | files[1] == EXPECTED


@pytest.mark.parametrize(
    "values",
    [
        control(19, "cramfs freevxfs hfs hfsplus jffs2 udf"),
        control(20, "dccp rds sctp tipc n_hdlc"),
        control(21, "usb-storage firewire-core"),
    ],
)
def test_module_is_never_loaded(host, values):
    names = {name.replace("-", "_") for name in values.split()}
    lines = {tuple(line.split()) for line in host.check_output("modprobe --showconfig").splitlines()}
    loaded = {line.split()[0] for line in host.run("cat /proc/modules").stdout.splitlines()}

    assert {name for name in names if ("install", name, "/bin/false") not in lines or ("blacklist", name) not in lines} == set()
    assert names & loaded == set()


@pytest.mark.control("kernel-20")
@pytest.mark.vm
def test_asking_for_a_blocked_module_fails(host):
    assert host.run("modprobe sctp").rc != 0


@pytest.mark.control("kernel-19")
def test_modules_that_containers_need_stay(host):
    config = host.check_output("modprobe --showconfig")

    assert not re.search(
        r"(?m)^(install|blacklist) (overlay|br_netfilter|nf_|nft_|iptable|ip6?_tables|veth|bridge|squashfs)", config
    )


@pytest.mark.control("kernel-22")
@pytest.mark.parametrize("user", ["root", "nobody"])
def test_core_files_are_limited_to_nothing(host, user):
    assert host.check_output(f"su {user} -s /bin/sh -c 'ulimit -H -c'") == "0"


@pytest.mark.control("kernel-23")
def test_coredumps_are_not_kept(host):
    lines = host.check_output("cat /etc/systemd/coredump.conf.d/*.conf").splitlines()

    assert [line for line in lines if line.startswith("Storage=")][-1] == "Storage=none"
    assert [line for line in lines if line.startswith("ProcessSizeMax=")][-1] == "ProcessSizeMax=0"


@pytest.mark.control("kernel-24")
def test_ctrl_alt_del_does_nothing(host):
    assert host.check_output("systemctl show --property LoadState --value ctrl-alt-del.target") == "masked"
    assert host.check_output("systemctl show --property CtrlAltDelBurstAction --value") == "none"


@pytest.mark.parametrize("path", [control(25, "/tmp"), control(26, "/var/tmp"), control(27, "/dev/shm")])
def test_temporary_file_system_runs_no_programs(host, path):
    options = host.check_output(f"findmnt --noheadings --output OPTIONS --mountpoint {path}")
    program = f"{path}/crowsnest-test-program"

    assert set(options.split(",")) >= RESTRICTED
    assert host.run(f"cp /bin/true {program} && {program}; status=$?; rm -f {program}; exit $status").rc == 126


@pytest.mark.parametrize("unit", [control(25, "tmp.mount"), control(26, "var-tmp.mount")])
def test_next_boot_mounts_it(host, unit):
    options = re.findall(r"(?m)^Options=(.*)$", host.check_output(f"systemctl cat {unit}"))[-1]

    assert set(options.split(",")) >= RESTRICTED
    assert host.check_output(f"systemctl is-enabled {unit}") == "enabled"


@pytest.mark.control("kernel-27")
def test_next_boot_restricts_shared_memory(host):
    options = host.check_output("findmnt --fstab --noheadings --output OPTIONS --mountpoint /dev/shm")

    assert set(options.split(",")) >= RESTRICTED


@pytest.mark.control("kernel-28")
def test_packages_ask_their_questions_where_programs_run(host):
    folder = host.check_output("apt-config shell folder APT::ExtractTemplates::TempDir").split("'")[1]

    assert "noexec" not in host.check_output(f"findmnt --noheadings --output OPTIONS --target {folder}")
    assert host.file(folder).mode == 0o755


@pytest.mark.control("kernel-29")
@pytest.mark.vm
def test_apparmor_confines(host):
    profiles = json.loads(host.check_output("aa-status --json"))["profiles"]

    assert host.service("apparmor").is_enabled
    assert "enforce" in profiles.values()
    assert [name for name, mode in profiles.items() if mode == "complain"] == []
