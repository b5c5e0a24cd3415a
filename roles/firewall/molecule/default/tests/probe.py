"""Runs on the machine as root: builds a network around it, knocks at its doors from there, prints what answered.

`outside` is a neighbour; `container` is behind a bridge that is named like Docker's, and two of its ports are published as
Docker publishes them. A door answers when anything comes back, be it that nobody listens; it is silent when the firewall drops.
"""

import contextlib
import json
import os
import random
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

SILENT_AFTER = 3.0  # seconds
# Published by mistake, allowed, and what stands behind both.
MISTAKE, ALLOWED, BEHIND = 7080, 7443, 80
# Another address each time, so that neither a rate limit nor a ban of the last time counts.
HOST = random.randrange(10, 250)
OUTSIDE, MACHINE, BRIDGE, CONTAINER = f"198.51.100.{HOST}", "198.51.100.1", "203.0.113.1", "203.0.113.2"
OUTSIDE6, MACHINE6, BRIDGE6, CONTAINER6 = (
    f"2001:db8:1::{HOST:x}", "2001:db8:1::1", "2001:db8:2::1", "2001:db8:2::2",
)  # fmt: skip


def run(*argv: str, check: bool = True) -> str:
    return subprocess.run(argv, check=check, capture_output=True, text=True).stdout


def knock(doors: list[tuple[str, int]]) -> list[bool]:
    """Which doors answer, all tried at the same time."""
    waiting = {}
    answers = [False] * len(doors)
    for number, (address, port) in enumerate(doors):
        one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        one.settimeout(0)
        one.connect_ex((address, port))
        waiting[number] = one
    limit = time.monotonic() + SILENT_AFTER
    while waiting and time.monotonic() < limit:
        time.sleep(0.05)
        for number, one in list(waiting.items()):
            with contextlib.suppress(BlockingIOError, OSError):
                error = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                connected = error == 0 and struct.unpack("B", one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1))[0] == 1
                if connected or error:
                    answers[number] = True
                    waiting.pop(number).close()
    return answers


def ping(address: str, count: int) -> int:
    """How many of so many pings at once are answered."""
    one = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    one.settimeout(1)
    for number in range(count):
        head = struct.pack("!BBHHH", 8, 0, 0, 4711, number)
        total = sum(struct.unpack("!4H", head))
        head = struct.pack("!BBHHH", 8, 0, ~((total >> 16) + total) & 0xFFFF, 4711, number)
        one.sendto(head, (address, 0))
    answered = 0
    with contextlib.suppress(TimeoutError):
        while True:
            answered += one.recv(64)[20] == 0
    return answered


def inside(namespace: str, what: str, *argv: object) -> object:
    """The result of one of the functions above, run in a namespace."""
    return json.loads(run("ip", "netns", "exec", namespace, sys.executable, __file__, what, json.dumps(argv)))


def set_kernel(wanted: dict[str, str]) -> dict[str, str]:
    """Sets kernel parameters that differ; returns what they were."""
    # Containers see them read-only; a mount namespace of our own does not.
    run("mount", "-o", "remount,bind,rw", "/proc/sys", check=False)
    before = {}
    for name, value in wanted.items():
        path = Path("/proc/sys/net", name)
        if (found := path.read_text(encoding="ascii").strip()) != value:
            before[name] = found
            path.write_text(value, encoding="ascii")
    return before


def build() -> None:
    for namespace, device in (("cn-outside", "cn-out"), ("cn-container", "cn-con")):
        run("ip", "netns", "add", namespace)
        run("ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", namespace)
    run("ip", "link", "add", "br-cnprobe", "type", "bridge")
    run("ip", "link", "set", "cn-con", "master", "br-cnprobe")
    for device, *addresses in (("cn-out", f"{MACHINE}/24", f"{MACHINE6}/64"), ("br-cnprobe", f"{BRIDGE}/24", f"{BRIDGE6}/64")):
        for address in addresses:
            run("ip", "address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
    for device in ("cn-out", "br-cnprobe", "cn-con"):
        run("ip", "link", "set", device, "up")
    for namespace, addresses in (
        ("cn-outside", {f"{OUTSIDE}/24": MACHINE, f"{OUTSIDE6}/64": MACHINE6}),
        ("cn-container", {f"{CONTAINER}/24": BRIDGE, f"{CONTAINER6}/64": BRIDGE6}),
    ):
        run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "-n", namespace, "link", "set", "eth0", "up")
        for address, gateway in addresses.items():
            run("ip", "-n", namespace, "address", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
            run("ip", "-n", namespace, "route", "add", "default", "via", gateway)


def publish() -> None:
    """Two ports of the container, as Docker publishes them, one of them allowed."""
    for family, address in (("ip", CONTAINER), ("ip6", f"[{CONTAINER6}]")):
        rules = f"table {family} cn_probe {{ chain published {{ type nat hook prerouting priority dstnat;"
        for port in (MISTAKE, ALLOWED):
            rules += f' iifname "cn-out" tcp dport {port} dnat to {address}:{BEHIND};'
        run("nft", rules + " }; }")
    # Docker, when it is there, drops what is not for its own bridges.
    for tables in ("iptables", "ip6tables"):
        with contextlib.suppress(FileNotFoundError):
            run(tables, "-I", "DOCKER-USER", "-o", "br-cnprobe", "-j", "ACCEPT", check=False)
            run(tables, "-I", "DOCKER-USER", "-i", "br-cnprobe", "-j", "ACCEPT", check=False)
    run("nft", f"add element inet crowsnest allowed_tcp_ports {{ {ALLOWED} }}")


def remove() -> None:
    run("nft", f"delete element inet crowsnest allowed_tcp_ports {{ {ALLOWED} }}", check=False)
    for tables in ("iptables", "ip6tables"):
        with contextlib.suppress(FileNotFoundError):
            run(tables, "-D", "DOCKER-USER", "-o", "br-cnprobe", "-j", "ACCEPT", check=False)
            run(tables, "-D", "DOCKER-USER", "-i", "br-cnprobe", "-j", "ACCEPT", check=False)
    for argv in (
        *(("nft", f"delete table {family} cn_probe") for family in ("ip", "ip6")),
        *(("ip", "netns", "delete", name) for name in ("cn-outside", "cn-container")),
        *(("ip", "link", "delete", name) for name in ("cn-out", "cn-con", "br-cnprobe")),
    ):
        run(*argv, check=False)


def doors(ssh: int) -> dict[str, dict[str, tuple[str, int]]]:
    """All doors, by where one stands in front of them."""
    found: dict[str, dict[str, tuple[str, int]]] = {"cn-outside": {}, "cn-container": {}}
    for version, machine, container, bridge, outside in (
        ("IPv4", MACHINE, CONTAINER, BRIDGE, OUTSIDE),
        ("IPv6", MACHINE6, CONTAINER6, BRIDGE6, OUTSIDE6),
    ):
        found["cn-outside"] |= {
            f"{version} ssh": (machine, ssh),
            f"{version} closed": (machine, 7001),
            f"{version} published, allowed": (machine, ALLOWED),
            f"{version} published by mistake": (machine, MISTAKE),
            f"{version} container itself": (container, BEHIND),
        }
        found["cn-container"] |= {
            f"{version} machine's ssh from a container": (bridge, ssh),
            f"{version} machine from a container": (bridge, 7001),
            f"{version} outside from a container": (outside, 7001),
        }
    return found


def main() -> None:
    if len(sys.argv) == 3:
        argv = json.loads(sys.argv[2])
        print(json.dumps(globals()[sys.argv[1]](*argv)))
        return
    what, ssh = sys.argv[1].split(":")
    if os.environ.get("CN_PROBE_MOUNTS") is None:
        os.environ["CN_PROBE_MOUNTS"] = "own"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "unchanged", sys.executable, *sys.argv])
    remove()
    before = set_kernel({"ipv4/ip_forward": "1", "ipv6/conf/all/disable_ipv6": "0", "ipv6/conf/all/forwarding": "1"})
    try:
        build()
        publish()
        if what == "doors":
            answers = {}
            for namespace, named in doors(int(ssh)).items():
                answers |= dict(zip(named, inside(namespace, "knock", list(named.values())), strict=True))
            print(json.dumps(answers))
        elif what == "flood":
            print(json.dumps(inside("cn-outside", "knock", [(MACHINE, int(ssh))] * 60)))
        elif what == "published":
            print(json.dumps(inside("cn-outside", "knock", [(MACHINE, ALLOWED)] * 60)))
        elif what == "ping":
            print(json.dumps(inside("cn-outside", "ping", MACHINE, 60)))
    finally:
        remove()
        set_kernel(before)


if __name__ == "__main__":
    main()
