"""What the supply missed is installed."""


def test_missing_package_is_installed(host):
    assert host.package("hello").is_installed
