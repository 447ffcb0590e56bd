"""Hosts on this machine: each with its own network, files of /etc and /var/lib, /run and processes.

A `Lab` is a switch (a bridge in a namespace of its own) with hosts plugged in. All traffic stays inside; when the
lab ends, every process of its hosts is gone with them. Needs root, /dev/net/tun and wireguard-go.
"""

import atexit
import contextlib
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from innerd.wireguard.daemon import CHOSEN_BY
from tests.netns.loaded import BEGINNINGS, Begun, Loaded

T = TypeVar("T")

_PRIVATE = """
set -e
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/.lab
for d in etc var/lib; do
  mkdir -p /run/.lab/$d/up /run/.lab/$d/wk
  mount -t overlay -o lowerdir=/$d,upperdir=/run/.lab/$d/up,workdir=/run/.lab/$d/wk lab /$d
done
hostname "$1"
ip link set lo up
printf '127.0.0.1 localhost\\n' > /etc/hosts
: > /etc/resolv.conf
touch /run/.lab/ready
sleep infinity &
wait  # a shell as init reaps the daemons that are left to it
"""

_UNSHARE = (
    *("setpriv", "--pdeathsig", "SIGKILL"),  # whatever becomes of us, the hosts end
    *("unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *("--propagation", "private"),
)
BIN = Path(sys.executable).parent
HOME = "/run/.lab"
_KEPT = ("LANG", "PYTHONPATH", "COVERAGE_PROCESS_START")  # of our environment, for commands on hosts
PATIENCE = 4  # A limit is for what hangs. It is said in seconds of an idle machine; on a busy one all takes longer.


class Failed(AssertionError):
    """A command on a host ended with another status than expected."""


class Host:
    """A machine. `address` is its IPv4 address on the switch, `address6` its IPv6 one."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.address = f"10.99.0.{number}"
        self.address6 = f"fd99::{number:x}"
        self._children: list[subprocess.Popen[Any] | Begun] = []
        self._unshare = subprocess.Popen(
            [*_UNSHARE, "bash", "-c", _PRIVATE, "host", name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self.pid = wait_for(self._init, f"{name} to start")
        wait_for(lambda: Path(f"/proc/{self.pid}/root/run/.lab/ready").exists(), f"{name} to be ready")

    def _init(self) -> int | None:
        if self._unshare.poll() is not None:
            raise Failed(f"{self.name} did not start: root is needed")
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def _enter(self, command: Sequence[str]) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-n", "-m", "-u", "-i", "-p", "--", "env", "-C", HOME, *command]

    def run(self, *command: str, status: int | None = 0, timeout: float = 60) -> str:
        """Run a command to its end; its stdout. Raises Failed for another exit status (None: any will do), and
        subprocess.TimeoutExpired when `PATIENCE` with so many seconds is at its end."""
        return self.ask(*command, status=status, timeout=timeout).stdout

    def ask(self, *command: str, status: int | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        timeout *= PATIENCE
        if command[0] in BEGINNINGS:
            done = _loaded().run(self.pid, HOME, command, _environment(), timeout)
        else:
            done = subprocess.run(
                self._enter(command),
                capture_output=True,
                text=True,
                timeout=timeout,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                check=False,
            )
        if status is not None and done.returncode != status:
            said = f"exit status {done.returncode}, not {status}\n{done.stdout}{done.stderr}"
            raise Failed(f"{self.name}$ {' '.join(command)}: {said}")
        return done

    def start(self, *command: str, log: str = "/run/.lab/log") -> subprocess.Popen[bytes]:
        """Start a command and leave it running; its output goes to a file on the host."""
        with self.path(log).open("ab") as out:
            child = subprocess.Popen(
                self._enter(command), env=_environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self._children.append(child)
        return child

    def begin(self, *command: str, log: str = "/run/.lab/log") -> Begun:
        """Begin `inn` or `innerd`, loaded already, and leave it running."""
        with self.path(log).open("ab") as out:
            begun = _loaded().begin(self.pid, HOME, command, _environment(), (out.fileno(), out.fileno()))
        self._children.append(begun)
        return begun

    def shell(self) -> subprocess.Popen[str]:
        """A shell on pipes: what is written to it is typed, and what it and its commands say comes out of one."""
        child = subprocess.Popen(
            self._enter(["bash", "--norc", "--noprofile"]),
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._children.append(child)
        return child

    def path(self, path: str) -> Path:
        """A file of the host, as this process can open it."""
        return Path(f"/proc/{self.pid}/root{path}")

    def pids(self, pattern: str) -> list[int]:
        """The processes of the host whose command line has a pattern (pgrep -f), in the host's numbers."""
        return [int(pid) for pid in self.run("pgrep", "-f", pattern, status=None).split()]

    def end(self) -> None:
        self._unshare.kill()  # --kill-child: the host's init goes with it, and all its processes
        self._unshare.wait()
        for child in self._children:
            with child:  # closes its pipes, too
                pass


def _environment() -> dict[str, str]:
    """Of every command on a host."""
    kept = {name: os.environ[name] for name in (*_KEPT, *CHOSEN_BY) if name in os.environ}
    return {**kept, "PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": HOME, "TERM": "dumb"}


@functools.cache
def _loaded() -> Loaded:
    """Where commands that are waited for begin, in this process' labs."""
    made = Loaded(_environment())
    atexit.register(made.end)
    return made


class Lab:
    """A switch and its hosts."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self.switch = Host("switch", 254)
        self.switch.run("ip", "link", "add", "sw0", "type", "bridge")
        self.switch.run("ip", "link", "set", "sw0", "up")

    def host(self, name: str) -> Host:
        """Plug in a new host."""
        host = Host(name, len(self.hosts) + 1)
        port = f"p{len(self.hosts) + 1}"
        self.switch.run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0")
        _move(self.switch, host)
        self.switch.run("ip", "link", "set", port, "master", "sw0", "up")
        host.run("ip", "addr", "add", f"{host.address}/24", "dev", "eth0")
        host.run("ip", "-6", "addr", "add", f"{host.address6}/64", "dev", "eth0", "nodad")
        host.run("ip", "link", "set", "eth0", "up")
        self.hosts[name] = host
        return host

    def unplug(self, name: str) -> None:
        self.switch.run("ip", "link", "set", f"p{list(self.hosts).index(name) + 1}", "down")

    def plug(self, name: str) -> None:
        self.switch.run("ip", "link", "set", f"p{list(self.hosts).index(name) + 1}", "up")

    def end(self) -> None:
        for host in [*self.hosts.values(), self.switch]:
            host.end()


def _move(switch: Host, host: Host) -> None:
    """Give the switch's eth0 to a host. By the host's process id as this machine sees it, so from outside the
    switch's own process namespace."""
    command = ["nsenter", "-t", str(switch.pid), "-n", "ip", "link", "set", "eth0", "netns", str(host.pid)]
    subprocess.run(command, check=True)


@contextlib.contextmanager
def lab() -> Iterator[Lab]:
    made = Lab()
    try:
        yield made
    finally:
        made.end()


def wait_for(condition: Callable[[], T | None], what: str, seconds: float = 20) -> T:
    """Poll until a condition gives something true; that. Raises Failed when `PATIENCE` with so many seconds is at its
    end."""
    found = within(condition, seconds * PATIENCE)
    if found is None:
        raise Failed(f"waited {seconds * PATIENCE} s for {what}")
    return found


def within(condition: Callable[[], T | None], seconds: float) -> T | None:
    """What a condition gives that is true, where it does so before the time is out. Between two looks lies as much time
    as a look takes: what is waited for needs the machine, too."""
    deadline = time.monotonic() + seconds
    while (began := time.monotonic()) < deadline:
        if found := condition():
            return found
        time.sleep(min(max(time.monotonic() - began, 0.01), 0.5))
    return None
