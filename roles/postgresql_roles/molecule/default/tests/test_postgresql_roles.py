"""Each role may do what was named, and nothing else."""


def ask(host, role, statement, password=None):
    password = password or f"canary-of-the-{role}"
    asked = f"psql -X -At -h 127.0.0.1 -U crowsnest_{role} -d crowsnest -c {statement!r} 2>&1"
    return host.run(f"PGPASSWORD={password} {asked}").stdout.strip()


def test_the_monitor_may_read_statistics(host):
    assert ask(host, "monitor", "SELECT count(*) > 0 FROM pg_stat_activity WHERE query IS NOT NULL") == "t"


def test_the_monitor_may_make_nothing(host):
    assert "permission denied" in ask(host, "monitor", "CREATE TABLE public.t (x int)")
    assert "permission denied" in ask(host, "monitor", "CREATE ROLE other")
    assert "permission denied" in ask(host, "monitor", "CREATE TABLE trading.t (x int)")


def test_who_owns_a_schema_makes_tables_there_and_nowhere_else(host):
    assert ask(host, "api", "CREATE TABLE IF NOT EXISTS trading.mine (x int)") == "CREATE TABLE"
    assert "permission denied" in ask(host, "api", "CREATE TABLE public.t (x int)")
    assert "permission denied" in ask(host, "api", "CREATE SCHEMA other")


def test_who_was_given_nothing_sees_nothing(host):
    assert ask(host, "trader", "SELECT 1") == "1"
    assert "permission denied" in ask(host, "trader", "SELECT * FROM trading.mine")


def test_connections_are_bounded(host):
    assert ask(host, "api", "SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user") == "12"
    assert ask(host, "trader", "SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user") == "5"


def test_another_password_is_refused(host):
    assert "authentication failed" in ask(host, "monitor", "SELECT 1", password="wrong")
