"""Homes behind routers: a small internet in namespaces.

One router is the internet: it knows the way to each site's public address and to nothing private. A site is a home
router with a LAN behind it, or a host with a public address. Kinds of home routers (nftables):

easy      keeps the port while it is free, whatever the destination; drops what nobody asked for
open      the same, but does not drop what it did not expect (plain Linux boxes, cloud gateways): such packets stay in
          its connection tracking and take ports
hard      another port for each destination
"""

import contextlib
import subprocess
from collections.abc import Iterator

from tests.netns.lab import Host

_RULES = """
table ip home {{
  chain out {{ type nat hook postrouting priority 100; oifname "wan" masquerade {how}; }}
  chain in {{ type filter hook input priority 0; {drop} }}
  chain through {{
    type filter hook forward priority 0; policy accept;
    iifname "wan" ct state established,related accept
    iifname "wan" drop
  }}
}}
"""
_DROP = 'iifname "wan" ct state established,related accept; iifname "wan" drop;'
KINDS = {
    "easy": {"how": "", "drop": _DROP},
    "open": {"how": "", "drop": ""},
    "hard": {"how": "random,fully-random", "drop": _DROP},
}


def wire(one: Host, here: str, other: Host, there: str) -> None:
    """A cable between two hosts."""
    command = ["nsenter", "-t", str(one.pid), "-n", "ip", "link", "add", here, "type", "veth", "peer", "name", there]
    subprocess.run([*command, "netns", str(other.pid)], check=True)
    for host, link in ((one, here), (other, there)):
        host.run("ip", "link", "set", link, "up")


class Internet:
    """The router in the middle, and what is connected to it."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self._sites = 0
        self.router = self._host("internet")
        _forward(self.router)

    def _host(self, name: str) -> Host:
        host = self.hosts[name] = Host(name, 250)
        return host

    def _connect(self, host: Host, link: str) -> str:
        """Connect a host to the internet; its public address."""
        self._sites += 1
        number = self._sites
        wire(self.router, f"site{number}", host, link)
        self.router.run("ip", "addr", "add", f"198.18.{number}.1/24", "dev", f"site{number}")
        host.run("ip", "addr", "add", f"198.18.{number}.2/24", "dev", link)
        host.run("ip", "route", "add", "default", "via", f"198.18.{number}.1")
        host.address = f"198.18.{number}.2"
        return host.address

    def public(self, name: str) -> Host:
        """A host with an address of its own."""
        host = self._host(name)
        self._connect(host, "eth0")
        return host

    def home(self, name: str, kind: str, *, behind: Host | None = None) -> Host:
        """A home router; `behind` another one (a carrier's) or right on the internet."""
        router = self._host(name)
        if behind is None:
            self._connect(router, "wan")
        else:
            join_lan(behind, router, "wan")
        router.run("ip", "link", "add", "lan", "type", "bridge")
        router.run("ip", "link", "set", "lan", "up")
        number = len(self.hosts)
        router.run("ip", "addr", "add", f"192.168.{number}.1/24", "dev", "lan")
        router.lan = f"192.168.{number}"  # type: ignore[attr-defined]
        router.plugs = 0  # type: ignore[attr-defined]
        _forward(router)
        rules = router.path("/run/.lab/rules.nft")
        rules.write_text(_RULES.format(**KINDS[kind]))
        router.run("nft", "-f", "/run/.lab/rules.nft")
        return router

    def at_home(self, name: str, router: Host) -> Host:
        """A host on a home's LAN."""
        host = self._host(name)
        join_lan(router, host, "eth0")
        return host

    def end(self) -> None:
        for host in reversed(self.hosts.values()):
            host.end()


def join_lan(router: Host, host: Host, link: str) -> None:
    router.plugs += 1  # type: ignore[attr-defined]
    port = f"plug{router.plugs}"  # type: ignore[attr-defined]
    wire(router, port, host, link)
    router.run("ip", "link", "set", port, "master", "lan")
    lan, number = router.lan, 9 + router.plugs  # type: ignore[attr-defined]
    host.run("ip", "addr", "add", f"{lan}.{number}/24", "dev", link)
    host.run("ip", "route", "add", "default", "via", f"{lan}.1")
    host.address = f"{lan}.{number}"


def _forward(host: Host) -> None:
    host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")


@contextlib.contextmanager
def internet() -> Iterator[Internet]:
    made = Internet()
    try:
        yield made
    finally:
        made.end()
