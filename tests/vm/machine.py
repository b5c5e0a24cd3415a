"""A virtual machine for tests, alone with the test in a network namespace.

The namespace holds one end of a cable and the machine the other; there is no way to anywhere else. Whoever wants to reach the
machine does so from the namespace (``outside``), which is therefore also where attacks and port scans come from. KVM is used
where the processor has it, else the machine is emulated, about ten times slower.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.vm import image
from tests.vm.image import ADDRESS, ADDRESS6, ADMIN, Disks
from tests.vm.shell import RootShell

CONTROLLER, CONTROLLER6 = "10.77.0.1", "fd77::1"  #: where the administrator comes from
ATTACKER = "10.77.0.66"  #: an address of its own, so that its ban leaves the administrator alone
BOOT_SECONDS = 240
MEMORY_MB, PROCESSORS = 4096, 2
PREFIX = "crowsnest-vm-"


def has_kvm() -> bool:
    """Whether the processor can run guests and this process may use it."""
    flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split()
    return ("vmx" in flags or "svm" in flags) and os.access("/dev/kvm", os.W_OK)


class Machine:
    """A machine that runs: its folder, its network, and ways to talk to it."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self.folder = folder
        self.namespace = namespace
        self.ssh_config = folder / "ssh_config"
        self.console = folder / "console.log"
        self.shell = RootShell([*self.outside_prefix, "ssh", "-F", str(self.ssh_config), "vm"])

    @classmethod
    def running(cls, folder: Path) -> Self:
        """One that `python -m tests.vm.machine` keeps running."""
        return cls(folder, (folder / "namespace").read_text(encoding="ascii"))

    @property
    def outside_prefix(self) -> list[str]:
        """What a command begins with to run in the machine's network, on this computer."""
        return ["ip", "netns", "exec", self.namespace]

    def outside(
        self, command: Sequence[str | Path], *, check: bool = True, timeout: float = 120, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on this computer, in the machine's network."""
        words = [*self.outside_prefix, *map(str, command)]
        return subprocess.run(words, check=check, **{"text": True, "capture_output": True, "timeout": timeout, **options})

    def ssh(self, command: str, *, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a shell command in the machine as its administrator, on a fresh connection.

        Raises:
            AssertionError: with what the command said, when it fails and `check` is set.
        """
        words = [*self.outside_prefix, "ssh", "-F", str(self.ssh_config), "vm", command]
        try:
            done = subprocess.run(words, text=True, capture_output=True, check=False, timeout=timeout, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            if check:
                raise
            return subprocess.CompletedProcess(words, 124, "", f"no answer within {timeout} s")
        assert not check or done.returncode == 0, f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def root(self, command: str, *, check: bool = True, timeout: float = 300) -> str:
        """Run a shell command in the machine as root, over the connection that stays.

        Returns:
            What it wrote, without the last newline.

        Raises:
            AssertionError: with what the command said, when it fails and `check` is set.
            ConnectionLostError: when the machine does not answer within `timeout` seconds.
        """
        status, output, errors = self.shell.run(command, seconds=timeout)
        text = output.decode(errors="replace")
        assert not check or status == 0, f"{command}: exit status {status}\n{text}{errors.decode(errors='replace')}"
        return text.rstrip("\n")

    def console_tail(self, lines: int = 30) -> str:
        """The last lines that the machine's kernel and boot wrote."""
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-lines:])

    @property
    def ended(self) -> bool:
        """Whether there is no machine to wait for."""
        return False

    def wait(self, *, seconds: int = BOOT_SECONDS, not_boot: str = "") -> str:
        """Wait for a login, of another boot than `not_boot`.

        Returns:
            The id of the boot.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.ended:
            answer = self.ssh("cat /proc/sys/kernel/random/boot_id", check=False, timeout=60)
            if answer.returncode == 0 and (boot := answer.stdout.strip()) != not_boot:
                return boot
            time.sleep(3)  # a hardened machine drops who asks too often
        said = (self.folder / "qemu.log").read_text(errors="replace")
        raise TimeoutError(f"no login in {seconds} s; qemu said: {said}\nthe console's end:\n{self.console_tail()}")

    def reboot(self) -> None:
        """Reboot as an administrator would, and wait for the new boot."""
        before = self.ssh("cat /proc/sys/kernel/random/boot_id").stdout.strip()
        self.ssh("sudo systemctl reboot", check=False, timeout=60)
        self.shell.close()
        self.wait(not_boot=before)


class VirtualMachine(Machine):
    """Starts a machine; leaves nothing behind when its block ends, and goes with this process when that is killed."""

    def __init__(self, disks: Disks) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix=PREFIX)), f"{PREFIX}{os.getpid()}")
        self.disks = disks
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    # life

    def _start(self) -> None:
        _remove_orphans()
        self._make_network()
        for name, disk in (("system", self.disks.system), ("docker", self.disks.docker)):
            layer = ["-f", "qcow2", "-F", "raw", "-b", disk, self.folder / f"{name}.qcow2"]
            subprocess.run(["qemu-img", "create", "-q", *layer], check=True)
        self._write_ssh_config()
        with (self.folder / "qemu.log").open("wb") as log:
            # The last resort: a killed test must not leave its machine running.
            command = [*self.outside_prefix, "setpriv", "--pdeathsig", "KILL", *self._qemu()]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait()

    @property
    def ended(self) -> bool:
        """Whether qemu has ended."""
        return self._process is None or self._process.poll() is not None

    def _make_network(self) -> None:
        subprocess.run(["ip", "netns", "add", self.namespace], check=True)
        addresses = [f"addr add {address}/24 dev tap0" for address in (CONTROLLER, ATTACKER)]
        lines = [
            "tuntap add tap0 mode tap",
            "link set lo up",
            "link set tap0 up",
            *addresses,
            f"addr add {CONTROLLER6}/64 dev tap0 nodad",
        ]
        subprocess.run(["ip", "-netns", self.namespace, "-batch", "-"], input="\n".join(lines), text=True, check=True)

    def _qemu(self) -> list[str]:
        speed = ["-accel", "kvm", "-cpu", "host"] if has_kvm() else ["-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max"]
        drives = [
            word
            for name in ("system", "docker")
            for word in ("-drive", f"file={self.folder / name}.qcow2,if=virtio,format=qcow2,cache=unsafe,discard=unmap")
        ]
        return [
            "qemu-system-x86_64", *speed, "-smp", str(PROCESSORS), "-m", str(MEMORY_MB), "-display", "none", "-nodefaults",
            "-serial", f"file:{self.console}", "-kernel", str(self.disks.kernel), "-initrd", str(self.disks.initrd),
            "-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0", *drives,
            "-netdev", "tap,id=net,ifname=tap0,script=no,downscript=no", "-device", "virtio-net-pci,netdev=net",
            "-device", "virtio-rng-pci",
        ]  # fmt: skip

    def _write_ssh_config(self) -> None:
        (self.folder / "namespace").write_text(self.namespace, encoding="ascii")
        known = self.folder / "known_hosts"
        known.write_text(f"{ADDRESS},{ADDRESS6} {self.disks.host_key}\n", encoding="ascii")
        key = self.folder / "id_ed25519"  # ssh wants it to be its user's own
        shutil.copyfile(self.disks.key, key)
        key.chmod(0o600)
        options = {
            "HostName": ADDRESS, "User": ADMIN, "IdentityFile": key, "IdentitiesOnly": "yes", "BatchMode": "yes",
            "UserKnownHostsFile": known, "StrictHostKeyChecking": "yes", "HostKeyAlgorithms": "ssh-ed25519",
            "ConnectTimeout": "10", "ServerAliveInterval": "10", "ServerAliveCountMax": "6", "LogLevel": "ERROR",
        }  # fmt: skip
        self.ssh_config.write_text(f"Host vm {ADDRESS}\n" + "".join(f"  {name} {value}\n" for name, value in options.items()))

    def stop(self) -> None:
        """End the machine and remove its network and files."""
        self.shell.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None
        subprocess.run(["ip", "netns", "del", self.namespace], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def _remove_orphans() -> None:
    """Networks of tests that were killed; their machines went with them."""
    listing = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    for name in (line.split()[0] for line in listing.splitlines() if line.startswith(PREFIX)):
        with contextlib.suppress(ValueError):
            if not Path(f"/proc/{int(name.removeprefix(PREFIX))}").exists():
                subprocess.run(["ip", "netns", "del", name], check=False)


if __name__ == "__main__":
    suite = sys.argv[1] if len(sys.argv) > 1 else image.SUITES[0]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with VirtualMachine(image.build(suite, lambda line: print(line, flush=True))) as machine:
        login = [*machine.outside_prefix, "ssh", "-F", str(machine.ssh_config), "vm"]
        print(f"runs until Ctrl-C; a shell in it: {shlex.join(login)}")
        print(f"its tests: CROWSNEST_VM={machine.folder} python -m pytest -v tests/vm", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
