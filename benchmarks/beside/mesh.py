"""What is compared where whole networks are: a server and machines that join it. Ours, and innernet.

The others are in `tailnet.py` and `nebula.py`. What is started is started as installed, not loaded already.
"""

from pathlib import Path
from typing import Protocol

from benchmarks.beside.systems import INNERNET, NETWORK, Innerd, Innernet, System, parsed
from tests.netns import steps
from tests.netns.lab import BIN, Host, wait_for

OTHERS = Path(__file__).parents[2] / ".peers/bin"  # what .ci/peers built
INVITATION = f"/run/.lab/{NETWORK}.toml"


class Mesh(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def server_processes(self) -> tuple[str, ...]:
        """The command lines of what runs on a server; its tunnel last, where that is a process of its own."""
        ...

    @property
    def member_processes(self) -> tuple[str, ...]:
        """The same of a machine that has joined."""
        ...

    def found(self, server: Host) -> None:
        """Return when there is a network, and it is served."""
        ...

    def invite(self, server: Host, host: Host) -> None:
        """All that is done before somebody on the new machine begins."""
        ...

    def join(self, host: Host) -> None:
        """Begin what an invited machine does first."""
        ...

    def start(self, host: Host) -> None:
        """Begin what a machine does that has joined before, and was switched off."""
        ...

    def stop(self, host: Host) -> None:
        """Switch a machine off: nothing of it runs any more, and its device is gone."""
        ...

    def address(self, host: Host) -> str:
        """Within the network, of a machine that has joined."""
        ...


class OfInnernetsKind:
    """What both have in common: an invitation is a file, and WireGuard is a process beside."""

    tunnel = f"wireguard-go {NETWORK}"

    def __init__(self, system: System) -> None:
        self.system = system
        self.name = system.name
        self.server_processes = (system.process, self.tunnel)
        self.addresses: dict[str, str] = {}

    def invited(self, host: Host, invitation: str) -> None:
        host.path(INVITATION).write_text(invitation)
        self.addresses[host.name] = parsed(invitation)[3].partition("/")[0]

    def address(self, host: Host) -> str:
        return self.addresses[host.name]

    def stop(self, host: Host) -> None:
        for pattern in self.member_processes:
            steps.kill(host, pattern)
        host.run("ip", "link", "del", NETWORK, status=None)

    member_processes: tuple[str, ...] = ()


class OurMesh(OfInnernetsKind):
    member_processes = (f"{BIN}/inn up -d {NETWORK}", OfInnernetsKind.tunnel)
    up = f"exec {BIN}/inn up -d {NETWORK}"

    def __init__(self) -> None:
        super().__init__(Innerd())

    def found(self, server: Host) -> None:
        self.system.found(server)
        self.system.serve(server)

    def invite(self, server: Host, host: Host) -> None:
        self.invited(host, steps.invite(server, "innerd", host.name, "humans"))

    def join(self, host: Host) -> None:
        install = f"{BIN}/inn install {INVITATION} --name {NETWORK} -d"
        host.start("sh", "-c", f"{install} && {self.up}", log="/run/.lab/inn.log")

    def start(self, host: Host) -> None:
        host.start("sh", "-c", self.up, log="/run/.lab/inn.log")


class InnernetMesh(OfInnernetsKind):
    """innernet finds a userspace device by a file beside its socket, which wireguard-go does not write: it is laid by
    hand as soon as the socket is there."""

    client = f"{INNERNET}/innernet --backend userspace"
    member_processes = (f"{client} up -d {NETWORK}", OfInnernetsKind.tunnel)

    def __init__(self) -> None:
        super().__init__(Innernet())

    @staticmethod
    def is_here() -> bool:
        return Innernet.is_here()

    def found(self, server: Host) -> None:
        self.system.found(server)
        self.system.serve(server)
        self._lay_name(server)

    def _lay_name(self, host: Host) -> None:
        wait_for(host.path(f"/run/wireguard/{NETWORK}.sock").exists, "innernet's device")
        host.path(f"/run/wireguard/{NETWORK}.name").write_text(f"{NETWORK}\n")

    def invite(self, server: Host, host: Host) -> None:
        invitation = f"/run/.lab/{host.name}.toml"
        server.run(
            *(
                Innernet.command,
                "--backend",
                "userspace",
                "add-peer",
                NETWORK,
                "--name",
                host.name,
                "--cidr",
                "humans",
                "--auto-ip",
            ),
            *("--admin", "false", "--save-config", invitation, "--invite-expires", "1d", "--yes"),
        )
        self.invited(host, server.path(invitation).read_text())
        for folder in ("/etc/innernet", "/var/lib/innernet"):
            host.path(folder).mkdir(mode=0o700)

    def join(self, host: Host) -> None:
        install = f"{self.client} install {INVITATION} --default-name -d"
        host.start("sh", "-c", f"{install} && exec {self.client} up -d {NETWORK}", log="/run/.lab/innernet.log")
        self._lay_name(host)

    def start(self, host: Host) -> None:
        host.start("sh", "-c", f"exec {self.client} up -d {NETWORK}", log="/run/.lab/innernet.log")
