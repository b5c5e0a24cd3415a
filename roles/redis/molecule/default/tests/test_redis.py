"""A real server, as the component's user, runs with the placed configuration and obeys it."""

import pytest

FOLDER = "/etc/crowsnest/redis"
UID = 10030
CLI = "redis-cli -p 6390 --no-auth-warning"


def start(host):
    # setpriv, because systemd refuses a number that no account has.
    as_component = f"setpriv --reuid={UID} --regid={UID} --clear-groups"
    host.check_output(f"systemd-run --unit=redis-under-test {as_component} redis-server {FOLDER}/redis.conf")
    host.check_output(f"for i in $(seq 50); do {CLI} ping && break; sleep 0.1; done")


@pytest.fixture(scope="module")
def server(host):
    start(host)
    yield host
    host.check_output("systemctl stop redis-under-test")


def as_user(host, user, password, command):
    return host.run(f"{CLI} --user {user} --pass {password} {command} 2>&1").stdout.strip()


@pytest.mark.parametrize("name", ["redis.conf", "users.acl"])
def test_files_are_readable_for_the_component_only(host, name):
    file = host.file(f"{FOLDER}/{name}")

    assert (file.uid, file.gid, file.mode) == (0, UID, 0o440)


def test_password_is_in_no_file(host):
    assert host.run(f"grep -r canary {FOLDER}").rc == 1


def test_without_a_user_nothing_is_allowed(server):
    assert "NOAUTH" in server.run(f"{CLI} ping").stdout


def test_wrong_password_is_refused(server):
    assert "WRONGPASS" in as_user(server, "default", "wrong", "ping")


def test_password_opens_everything(server):
    assert as_user(server, "default", "canary-of-the-redis-password", "set key value") == "OK"


def test_probe_may_ping_and_nothing_else(server):
    assert as_user(server, "probe", "probe", "ping") == "PONG"
    for command in ("get key", "info", "config get dir", "publish channel message", "acl list"):
        assert "NOPERM" in as_user(server, "probe", "probe", command)


def test_monitor_sees_statistics_and_no_key(server):
    assert "redis_version" in as_user(server, "monitor", "canary-of-the-monitor", "info server")
    assert "maxmemory" in as_user(server, "monitor", "canary-of-the-monitor", "config get maxmemory")
    for command in ("get key", "keys key", "config set maxmemory 1", "acl list", "client list", "publish channel message"):
        assert "NOPERM" in as_user(server, "monitor", "canary-of-the-monitor", command), command


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dir", "/data"),
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("save", "3600 1 300 100 60 10000"),
        ("maxmemory", str(60 * 1024 * 1024)),
        ("maxmemory-policy", "noeviction"),
        ("protected-mode", "yes"),
    ],
)
def test_server_took_the_setting(server, name, value):
    answer = as_user(server, "default", "canary-of-the-redis-password", f"config get {name}")

    assert answer.splitlines()[-1] == value


def test_users_and_paths_cannot_be_changed_at_run_time(server):
    answer = as_user(server, "default", "canary-of-the-redis-password", "config set dir /tmp")

    assert "protected config" in answer


def test_data_survives_a_crash(server):
    as_user(server, "default", "canary-of-the-redis-password", "set durable yes")
    server.check_output("sleep 1.2")  # everysec: what is older than a second is on the disk
    server.check_output("systemctl kill -s KILL redis-under-test; sleep 0.5; systemctl reset-failed redis-under-test")
    start(server)

    assert as_user(server, "default", "canary-of-the-redis-password", "get durable") == "yes"
