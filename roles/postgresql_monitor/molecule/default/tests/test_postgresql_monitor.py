"""The role reads statistics, and nothing else."""


def as_monitor(host, statement, password="canary-of-the-monitor"):
    return host.run(f"PGPASSWORD={password} psql -X -At -h 127.0.0.1 -U crowsnest_monitor -d crowsnest -c {statement!r} 2>&1")


def test_it_may_read_statistics(host):
    assert as_monitor(host, "SELECT count(*) > 0 FROM pg_stat_activity WHERE query IS NOT NULL").stdout.strip() == "t"


def test_it_may_make_nothing(host):
    assert "permission denied" in as_monitor(host, "CREATE TABLE public.t (x int)").stdout
    assert "permission denied" in as_monitor(host, "CREATE ROLE other").stdout


def test_another_password_is_refused(host):
    assert "authentication failed" in as_monitor(host, "SELECT 1", password="wrong").stdout
