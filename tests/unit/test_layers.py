"""Each layer of drift names what differs and is silent where nothing does; the report tells drift from a check that broke."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import docker
import pytest

from infra import drift_report, layers
from infra import settings as stack_settings
from infra.catalogue import catalogue
from infra.drift import Finding
from infra.errors import Failed
from infra.layers import Machine, Result
from infra.settings import Settings, SettingsError, parse
from infra.textfile import render

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users, as root may")


class NoContainers:
    """A daemon on which nothing runs."""

    class api:  # noqa: N801 - as the client calls it
        """Its calls."""

        running: list[dict] = []

        @classmethod
        def containers(cls) -> list[dict]:
            return cls.running


def machine(settings: Settings, root: Path = Path("/"), client: object = NoContainers) -> Machine:
    return Machine(settings, lambda: client, Path("inventories/local"), root)


def declared(**drift: object) -> Settings:
    return parse("x", {"pipelines": {"trading": {"components": ["redis"]}}, "drift": drift})


def named(findings: object) -> list[str]:
    return [str(finding) for finding in findings]


# --- ports ---------------------------------------------------------------------------------------------------------------

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def listening(root: Path, *sockets: tuple[str, str, str], file: str = "tcp") -> None:
    (root / "proc/net").mkdir(parents=True, exist_ok=True)
    rows = [
        f"   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0\n"
        for address, state, inode in sockets
    ]
    (root / "proc/net" / file).write_text(HEAD + "".join(rows))


def test_a_port_that_others_reach_and_nobody_declared_is_named_with_its_program(tmp_path):
    listening(
        tmp_path,
        ("00000000:0016", "0A", "1"),  # 0.0.0.0:22, declared
        ("0100007F:1F90", "0A", "2"),  # 127.0.0.1:8080, nobody reaches it
        ("00000000:115C", "0A", "3"),  # 0.0.0.0:4444
        ("0200A8C0:9C40", "01", "4"),  # a connection, not listening
    )
    listening(tmp_path, ("00000000000000000000000000000000:115C", "0A", "5"), file="tcp6")
    fds = tmp_path / "proc/77/fd"
    fds.mkdir(parents=True)
    (fds / "3").symlink_to("socket:[3]")
    (tmp_path / "proc/77/comm").write_text("nc\n")

    assert named(layers.port_findings(machine(declared(), tmp_path))) == [
        "port 0.0.0.0:4444: existence is present, nc (pid 77), declared absent",
        "port [::]:4444: existence is present, of a program that cannot be seen, declared absent",
    ]
    assert named(layers.port_findings(machine(declared(ports=[22, 4444]), tmp_path))) == []


def test_an_address_that_means_the_other_kind_is_taken_for_what_it_is(tmp_path):
    listening(tmp_path, ("0000000000000000FFFF00000100007F:115C", "0A", "5"), file="tcp6")

    assert named(layers.port_findings(machine(declared(), tmp_path))) == []


def test_a_container_that_publishes_a_port_without_a_program_is_seen(tmp_path):
    class Published(NoContainers):
        class api(NoContainers.api):  # noqa: N801
            running = [
                {
                    "Names": ["/stray"],
                    "Ports": [
                        {"IP": "0.0.0.0", "PublicPort": 5432, "Type": "tcp"},
                        {"IP": "127.0.0.1", "PublicPort": 5433, "Type": "tcp"},
                        {"PrivatePort": 80, "Type": "tcp"},
                    ],
                }
            ]

    assert named(layers.port_findings(machine(declared(), tmp_path, Published))) == [
        "port 0.0.0.0:5432: existence is present, container stray, declared absent"
    ]


def test_ports_that_the_gateway_opens_are_declared(tmp_path):
    tree = {"pipelines": {"logs": None, "viewer": None, "gateway": {"listen": "0.0.0.0"}}, "drift": None}
    listening(tmp_path, ("00000000:01BB", "0A", "1"), ("00000000:0050", "0A", "2"))

    assert named(layers.port_findings(machine(parse("x", tree), tmp_path))) == []


# --- users ---------------------------------------------------------------------------------------------------------------


def accounts(root: Path, passwd: str, group: str = "", shadow: str = "root:*:1::::::\n") -> Path:
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text(f"root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n{passwd}")
    (root / "etc/group").write_text(f"root:x:0:\n{group}")
    (root / "etc/shadow").write_text(shadow)
    return root


@pytest.mark.parametrize(
    ("passwd", "group", "shadow", "users", "found"),
    [
        ("", "", "", {}, []),
        ("eve:x:1001:1001::/home/eve:/bin/sh\n", "", "", {}, ["user eve: existence is present, with the shell /bin/sh"]),
        ("eve:x:1001:1001::/home/eve:/bin/sh\n", "", "", {"eve": []}, []),
        ("toor:x:0:0::/root:/usr/sbin/nologin\n", "", "", {}, ["user toor: existence is present, with root's number"]),
        ("svc:x:1001:1001::/srv:/usr/sbin/nologin\n", "", "", {}, []),
        ("nobody:x:65534:65534::/:/bin/sh\n", "", "", {}, []),
        ("", "docker:x:99:eve\n", "", {}, ["user eve: group docker is present, declared absent"]),
        ("eve:x:999:99::/:/bin/false\n", "docker:x:99:eve\n", "", {"eve": ["docker"]}, []),
        ("", "", "", {"eve": ["sudo"]}, ["user eve: existence is absent, declared present"]),
        ("eve:x:999:99::/:/bin/false\n", "sudo:x:9:\n", "", {"eve": ["sudo"]}, ["user eve: group sudo is absent, declared"]),
        ("", "", "eve::1::::::\n", {}, ["user eve: password is empty"]),
    ],
)
def test_who_can_come_in_and_is_not_declared_is_named(tmp_path, passwd, group, shadow, users, found):
    root = accounts(tmp_path, passwd, group, shadow)

    lines = named(layers.user_findings(machine(declared(users=users), root)))

    assert len(lines) == len(found), lines
    assert all(line.startswith(beginning) for line, beginning in zip(lines, found, strict=True))


def test_keys_for_ssh_let_somebody_in_who_has_no_shell_of_a_person(tmp_path):
    root = accounts(tmp_path, "svc:x:998:998::/srv:/bin/sh\n")
    assert named(layers.user_findings(machine(declared(), root))) == []
    (root / "srv/.ssh").mkdir(parents=True)
    (root / "srv/.ssh/authorized_keys").write_text("ssh-ed25519 AAAA\n")

    assert named(layers.user_findings(machine(declared(), root))) == [
        "user svc: existence is present, with keys for ssh, declared absent"
    ]


# --- files ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A stack with Redis alone whose files are as Ansible places them."""
    paths = catalogue().paths.model_copy(update={name: tmp_path / name for name in ("config", "data", "state", "backup")})
    monkeypatch.setattr(stack_settings, "catalogue", lambda: catalogue().model_copy(update={"paths": paths}))
    settings = declared()
    redis = catalogue()["redis"]
    config, data = settings.folders.config, settings.folders.data
    rights = [
        (config, 0, 0, 0o711, None),
        (config / "secrets", 0, 0, 0o711, None),
        (config / "secrets/redis_password", redis.uid, redis.uid, 0o400, "secret"),
        (config / "redis", 0, redis.uid, 0o750, None),
        (config / "redis/redis.conf", 0, redis.uid, 0o440, "port 1"),
        (data / "redis", redis.uid, redis.uid, 0o700, None),
    ]
    for path, owner, group, mode, content in rights:
        if content is None:
            path.mkdir(parents=True)
        else:
            path.write_text(content)
        os.chown(path, owner, group)
        path.chmod(mode)
    return settings


@needs_root
def test_files_as_they_were_placed_are_no_drift(placed):
    assert named(layers.file_findings(machine(placed))) == []


MUTATIONS = {
    "a secret that others read": lambda c, d: (c / "secrets/redis_password").chmod(0o444),
    "a secret of another owner": lambda c, d: os.chown(c / "secrets/redis_password", 0, 0),
    "a secret that is gone": lambda c, d: (c / "secrets/redis_password").unlink(),
    "a secret that is empty": lambda c, d: (c / "secrets/redis_password").write_text(""),
    "a secret of nobody's": lambda c, d: (c / "secrets/note").write_text("x"),
    "configuration that may be written": lambda c, d: (c / "redis/redis.conf").chmod(0o460),
    "configuration of another owner": lambda c, d: os.chown(c / "redis/redis.conf", 10030, 10030),
    "a file that was put there": lambda c, d: (c / "redis/include.conf").write_text("x"),
    "data that others reach": lambda c, d: (d / "redis").chmod(0o755),
    "a data folder that is gone": lambda c, d: (d / "redis").rmdir(),
    "a folder of configuration that others list": lambda c, d: (c / "redis").chmod(0o755),
}


@needs_root
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_file_that_was_changed_is_named(placed, name):
    MUTATIONS[name](placed.folders.config, placed.folders.data)

    found = list(layers.file_findings(machine(placed)))

    assert len(found) in (1, 2)
    assert all(finding.resource.startswith("file /") for finding in found)


# --- Ansible -------------------------------------------------------------------------------------------------------------

PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Place a file
      ansible.builtin.copy: {dest: "%(folder)s/placed", content: declared, mode: "0600"}
    - name: Place each of several
      ansible.builtin.copy: {dest: "%(folder)s/{{ item }}", content: declared, mode: "0600"}
      loop: [one, two]
    - name: Fail on purpose
      ansible.builtin.fail: {msg: broken on purpose}
      when: broken | default(false)
"""


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a playbook in the place of the site's, through the real callback plugin."""
    (tmp_path / "files").mkdir()
    (tmp_path / "site.yml").write_text(PLAY % {"folder": tmp_path / "files"})
    run = layers._play

    def other(machine: Machine, arguments: list[str], environment: dict[str, str]):
        words = [str(tmp_path / "site.yml") if word == "site.yml" else word for word in arguments]
        return run(machine, [word for word in words if word not in ("--tags", ",".join(layers.PHASES))], environment)

    monkeypatch.setattr(layers, "_play", other)
    return tmp_path / "files"


def test_what_ansible_would_place_anew_is_drift_and_what_it_would_not_is_none(play):
    for name in ("placed", "one", "two"):
        (play / name).write_text("declared")
        (play / name).chmod(0o600)
    assert layers.look(machine(declared()), "ansible").findings == []
    (play / "two").write_text("changed by hand")

    result = layers.look(machine(declared()), "ansible")

    assert named(result.findings) == ["task Place each of several (two): change is due on localhost, declared none"]
    assert (play / "two").read_text() == "changed by hand"


def test_a_check_that_breaks_is_not_taken_for_no_drift(play, monkeypatch):
    site = play.parent / "site.yml"
    site.write_text(site.read_text().replace("broken | default(false)", "true"))

    result = layers.look(machine(declared()), "ansible")

    assert "Fail on purpose: broken on purpose" in result.error
    assert drift_report.code([result]) == drift_report.BROKEN


# --- the report ----------------------------------------------------------------------------------------------------------

FOUND = Result("ports", 0.5, [Finding("port 0.0.0.0:4444", "existence", "absent", 'present, "nc" & more')])
BROKE = Result("ansible", 2.0, error="no machine\nanswered")
NOTHING = Result("files", 0.1)
SKIPPED = Result("users", skipped=layers.UNDECLARED)


@pytest.mark.parametrize(
    ("results", "code"),
    [([NOTHING, SKIPPED], 0), ([NOTHING, FOUND], 2), ([FOUND, BROKE], 1), ([BROKE], 1), ([SKIPPED], 0)],
)
def test_drift_and_a_check_that_broke_have_codes_of_their_own(results, code):
    assert drift_report.code(results) == code


def test_people_read_each_difference_and_what_was_not_looked_at():
    said: list[str] = []
    tables: list[tuple[object, ...]] = []

    drift_report.tell([FOUND, BROKE, SKIPPED], said.append, lambda header, rows: tables.extend(rows))

    assert said == [
        'drift: port 0.0.0.0:4444: existence is present, "nc" & more, declared absent',
        "broken: ansible: no machine",
        "broken: ansible: answered",
    ]
    assert [row[:2] for row in tables] == [
        ("ports", "1 differences"),
        ("ansible", "broken"),
        ("users", f"not looked at: {layers.UNDECLARED}"),
    ]


def test_ci_reads_it_as_tests():
    root = ET.fromstring(drift_report.as_junit([NOTHING, FOUND, BROKE, SKIPPED], "prod"))

    suites = {suite.get("name"): suite for suite in root}
    assert {name: [suite.get(key) for key in ("tests", "failures", "errors", "skipped")] for name, suite in suites.items()} == {
        "files": ["1", "0", "0", "0"],
        "ports": ["1", "1", "0", "0"],
        "ansible": ["1", "0", "1", "0"],
        "users": ["1", "0", "0", "1"],
    }
    assert suites["ports"].find("testcase/failure").get("message").endswith('"nc" & more, declared absent')
    assert suites["ansible"].find("testcase/error").text == "no machine\nanswered"


def test_alerts_find_the_metric_they_ask_for():
    text = render(drift_report.metrics([NOTHING, FOUND, BROKE, SKIPPED], declared()))

    assert 'crowsnest_drift_findings{stack="x",layer="ports"} 1\n' in text
    assert 'crowsnest_drift_findings{stack="x",layer="files"} 0\n' in text
    assert 'crowsnest_drift_check_success{stack="x",layer="ansible"} 0\n' in text
    assert 'findings{stack="x",layer="ansible"}' not in text
    assert "users" not in text


def test_a_report_of_another_machine_is_the_same_report():
    document = json.loads(json.dumps({"layers": drift_report.as_json([NOTHING, FOUND, BROKE, SKIPPED])}))

    assert drift_report.as_json(layers.from_json(document)) == drift_report.as_json([NOTHING, FOUND, BROKE, SKIPPED])
    with pytest.raises(Failed, match="stack prod is not deployed"):
        layers.from_json({"result": "refused", "message": "stack prod is not deployed"})


def test_machines_that_give_no_report_are_a_check_that_broke(monkeypatch):
    monkeypatch.setattr(layers, "_play", lambda *_: layers.subprocess.CompletedProcess([], 4, "", "unreachable"))

    (result,) = layers.elsewhere(machine(declared()), ["containers", "files"])

    assert "unreachable" in result.error


# --- settings ------------------------------------------------------------------------------------------------------------


def test_what_nobody_declared_of_the_machine_is_not_looked_at_and_said():
    undeclared = machine(parse("x", {"pipelines": {"trading": {"components": ["redis"]}}}))

    assert [layers.look(undeclared, name).skipped for name in ("ports", "users")] == [layers.UNDECLARED] * 2


def test_a_daemon_that_does_not_answer_is_a_check_that_broke():
    def nobody() -> docker.DockerClient:
        raise docker.errors.DockerException("nobody answers")

    result = layers.look(Machine(declared(), nobody, Path()), "images")

    assert result.error == "nobody answers"


@pytest.mark.parametrize(
    ("tree", "line"),
    [({"ports": [0]}, "drift.ports.0"), ({"users": ["eve"]}, "drift.users"), ({"daily_at": "5"}, "drift.daily_at")],
)
def test_a_bad_setting_is_named(tree, line):
    with pytest.raises(SettingsError, match=line):
        declared(**tree)
