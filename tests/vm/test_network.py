"""What the machine shows to others: a second host looks, from a network namespace of its own."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.catalogue import catalogue
from supply import images
from tests.figures import figure
from tests.vm.converge import Play
from tests.vm.image import ADDRESS, ADDRESS6
from tests.vm.machine import Machine

pytestmark = pytest.mark.usefixtures("hardened")

SCAN = Path(__file__).with_name("scan.py")
SSH, MISTAKE = 22, 8099
NAME = "published-by-mistake"


def answers(vm: Machine, address: str, port: int) -> bool:
    """Whether somebody outside gets a connection, and a byte back for a request: a proxy may accept and then fall silent."""
    ask = (
        f"import socket; s = socket.create_connection(({address!r}, {port}), 5); s.settimeout(5);"
        "s.sendall(b'GET /health HTTP/1.0\\r\\n\\r\\n'); assert s.recv(1)"
    )
    return vm.outside([sys.executable, "-c", ask], check=False).returncode == 0


def wait_until(vm: Machine, address: str, port: int, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answers(vm, address, port):
            return True
        time.sleep(1)
    return False


@contextmanager
def firewall_off(vm: Machine) -> Iterator[None]:
    """Without the firewall's own table, everything else as it is."""
    vm.root("nft delete table inet crowsnest")
    try:
        yield
    finally:
        vm.root("systemctl reload crowsnest-firewall.service")


@pytest.fixture
def mistake(vm: Machine) -> Iterator[None]:
    """A container that publishes its port on every address."""
    component = catalogue()["victorialogs"]
    image, port = images.packages_reference(component), component.ports["http"].container
    # Without an address the engine takes the loopback one; the mistake is to name another.
    vm.root(
        f"docker run --detach --rm --name {NAME} --publish 0.0.0.0:{MISTAKE}:{port}"
        f" --tmpfs {component.data}:uid={component.uid} {image} -storageDataPath={component.data}"
    )
    vm.root(
        f"for _ in $(seq 60); do python3 -c 'import urllib.request as r; r.urlopen(\"http://127.0.0.1:{MISTAKE}/health\")'"
        " 2>/dev/null && exit 0; sleep 1; done; exit 1"
    )
    yield
    vm.root(f"docker stop --time 2 {NAME}")


def test_exactly_ssh_answers(vm: Machine):
    """sshd's port is the scan's own proof: one that misses it was too slow to see anything, and is done again, slower."""
    for seconds in (1.8, 4, 8):
        begun = time.monotonic()
        found = json.loads(vm.outside([sys.executable, SCAN, str(seconds), ADDRESS, ADDRESS6], timeout=1200).stdout)
        figure("scan of 2 x 65,535 ports, s", f"{time.monotonic() - begun:.0f}")
        if all(SSH in ports for ports in found.values()):
            break
    assert found == {ADDRESS: [SSH], ADDRESS6: [SSH]}


@pytest.mark.usefixtures("mistake")
def test_a_port_published_by_mistake_cannot_be_reached(vm: Machine):
    assert not answers(vm, ADDRESS, MISTAKE)
    assert not answers(vm, ADDRESS6, MISTAKE)
    # The test would see it: without the firewall it answers.
    with firewall_off(vm):
        assert wait_until(vm, ADDRESS, MISTAKE)
    assert not answers(vm, ADDRESS, MISTAKE)


def test_the_firewall_is_what_hides_the_ports(vm: Machine, hardened: Play):
    """A listener on every address, seen only while the firewall is off."""
    vm.root(
        "systemd-run --quiet --unit=listener python3 -c 'import http.server as h;"
        ' h.HTTPServer(("0.0.0.0", 8098), h.SimpleHTTPRequestHandler).serve_forever()\''
    )
    try:
        assert not answers(vm, ADDRESS, 8098)
        with firewall_off(vm):
            assert wait_until(vm, ADDRESS, 8098)
    finally:
        vm.root("systemctl stop listener.service")
