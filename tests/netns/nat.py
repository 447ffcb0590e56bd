"""Homes behind routers: a small internet in namespaces.

One router is the internet: it knows the way to each site's public address and to nothing private. A site is a home
router with a LAN behind it, or a host with a public address. Kinds of home routers (nftables):

easy      keeps the port while it is free, whatever the destination; drops what nobody asked for
open      the same, but does not drop what it did not expect (plain Linux boxes, cloud gateways): such packets stay in
          its connection tracking and take ports
hard      another port for each destination
address   as easy, but whoever's address was sent to may answer from any port
hairpin   as easy, and what its LAN sends to its public address and a mapped port comes back in

A carrier's router is one of these too, with other routers on its LAN (100.64.0.0/10). Hosts on the internet itself:

public      an address of its own
firewalled  an address of its own, and a firewall that drops what nobody asked for
public6     an IPv6 address, and no IPv4
dual        both

A home may have IPv6 beside: without NAT, with a firewall that drops what nobody asked for.
"""

import contextlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator

from tests.netns.lab import Host

# What was sent out is noted after the translation, with the port that it left from.
_RULES = """
table ip home {{
  set inside {{ type ipv4_addr . inet_service; flags dynamic,timeout; timeout 10m; }}
  map ports {{ type ipv4_addr . inet_service : inet_service; }}
  map opened {{ type inet_service . ipv4_addr : ipv4_addr . inet_service; flags dynamic,timeout; timeout 3m; }}
  map mapped {{ type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout 3m; }}
  chain out {{
    type nat hook postrouting priority 100;
    {out}
    {how}
    oifname "wan" meta l4proto udp masquerade to :ip saddr . udp sport map @ports
    oifname "wan" masquerade
  }}
  chain left {{
    type filter hook postrouting priority 110;
    oifname "wan" ct direction original goto note
  }}
  chain note {{
    meta l4proto udp update @inside {{ ct original ip saddr . ct original proto-src }}
    {note}
  }}
  chain back {{
    type nat hook prerouting priority -100;
    {back}
  }}
  chain in {{
    type filter hook input priority 0;
    {drop}
  }}
  chain through {{
    type filter hook forward priority 0;
    iifname "wan" ct status dnat accept
    iifname "wan" ct state established,related accept
    iifname "wan" drop
  }}
}}
table ip6 home {{
  chain through {{
    type filter hook forward priority 0;
    iifname "wan" ct state established,related accept
    iifname "wan" drop
  }}
}}
"""
_INSIDE = "ct original ip saddr . ct original proto-src"
_EASY = {
    "out": "",
    "how": "",
    "note": "",
    "back": "",
    "drop": 'iifname "wan" ct state established,related accept; iifname "wan" drop;',
}
KINDS = {
    "easy": _EASY,
    "open": _EASY | {"drop": ""},
    "hard": _EASY | {"how": 'oifname "wan" masquerade random,fully-random'},
    "address": _EASY
    | {
        "note": "meta l4proto udp update @opened { udp sport . ip daddr : " + _INSIDE + " }",
        "back": 'iifname "wan" meta l4proto udp dnat ip to udp dport . ip saddr map @opened',
    },
    "hairpin": _EASY
    | {
        "out": 'oifname "lan" ct status dnat snat to {wan}',
        "note": "meta l4proto udp update @mapped {{ udp sport : ct original ip saddr . ct original proto-src }}",
        "back": 'iifname "lan" ip daddr {wan} meta l4proto udp dnat ip to udp dport map @mapped',
    },
}
_WALL = """
table inet wall {
  chain in {
    type filter hook input priority 0;
    iifname "eth0" ct state established,related accept
    iifname "eth0" icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    iifname "eth0" drop
  }
}
"""
_LOSS = """
table inet loss {{
  chain in {{
    type filter hook prerouting priority -300;
    iifname {{ "eth0", "wan", "lan" }} numgen random mod 100 < {percent} drop
    iifname "site*" numgen random mod 100 < {percent} drop
  }}
}}
"""
# There is no conntrack(8) everywhere; this is its -F.
_FLUSH = "from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket; NFCTSocket().flush()"


class Router(Host):
    """A home's or a carrier's: `address` is that of its side towards the internet, `lan` the first three numbers of
    the addresses behind it, `lan6` the prefix of such, if it has IPv6."""

    def __init__(self, name: str) -> None:
        super().__init__(name, 250)
        self.lan = self.lan6 = ""
        self.plugs = 0
        self._leases: dict[str, int] = {}

    def lease(self, name: str) -> int:
        """The last number of a host's address, which is the same when it comes back."""
        return self._leases.setdefault(name, 10 + len(self._leases))


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

    @property
    def next_address(self) -> str:
        """The address of the site that is connected next."""
        return f"198.18.{self._sites + 1}.2"

    def _connect(self, host: Host, link: str, *families: int) -> None:
        """Connect a host to the internet, as a site of its own."""
        self._sites += 1
        number = self._sites
        wire(self.router, f"site{number}", host, link)
        host.address = host.address6 = ""
        if 4 in families:
            host.address = f"198.18.{number}.2"
            self.router.run("ip", "addr", "add", f"198.18.{number}.1/24", "dev", f"site{number}")
            host.run("ip", "addr", "add", f"{host.address}/24", "dev", link)
            host.run("ip", "route", "add", "default", "via", f"198.18.{number}.1")
        if 6 in families:
            host.address6 = f"2001:db8:{number:x}::2"
            self.router.run("ip", "addr", "add", f"2001:db8:{number:x}::1/64", "dev", f"site{number}", "nodad")
            host.run("ip", "addr", "add", f"{host.address6}/64", "dev", link, "nodad")
            host.run("ip", "route", "add", "default", "via", f"2001:db8:{number:x}::1")

    def public(self, name: str) -> Host:
        """A host with an address of its own."""
        return self._site(name, 4)

    def public6(self, name: str) -> Host:
        """A host with an IPv6 address, and no IPv4."""
        return self._site(name, 6)

    def dual(self, name: str) -> Host:
        """A host with an address of each family."""
        return self._site(name, 4, 6)

    def firewalled(self, name: str) -> Host:
        """A host with an address of its own, which lets nobody in who was not spoken to."""
        host = self._site(name, 4)
        _rules(host, _WALL)
        return host

    def _site(self, name: str, *families: int) -> Host:
        host = self._host(name)
        self._connect(host, "eth0", *families)
        return host

    def home(
        self, name: str, kind: str, *, behind: Router | None = None, lan: str | None = None, ipv6: bool = False
    ) -> Router:
        """A home router; `behind` another one (a carrier's) or right on the internet. `lan`: as another's, where two
        have the same."""
        router = self.hosts[name] = Router(name)
        if behind is None:
            self._connect(router, "wan", 4, *([6] if ipv6 else []))
        else:
            _join(behind, router, "wan")
        router.run("ip", "link", "add", "lan", "type", "bridge")
        router.run("ip", "link", "set", "lan", "up")
        router.run("sysctl", "-q", "-e", "-w", "net.bridge.bridge-nf-call-iptables=0")  # a switch is no firewall
        router.lan = lan or f"192.168.{len(self.hosts)}"
        router.run("ip", "addr", "add", f"{router.lan}.1/24", "dev", "lan")
        if ipv6:
            router.lan6 = f"2001:db8:{self._sites:x}:1"
            router.run("ip", "addr", "add", f"{router.lan6}::1/64", "dev", "lan", "nodad")
            self.router.run("ip", "route", "add", f"{router.lan6}::/64", "via", router.address6)
        _forward(router)
        kinds = {
            what: text.format(wan=router.address) if kind == "hairpin" else text for what, text in KINDS[kind].items()
        }
        _rules(router, _RULES.format(**kinds))
        return router

    def carrier(self, name: str, kind: str) -> Router:
        """A carrier's router, for homes `behind` it."""
        return self.home(name, kind, lan=f"100.64.{len(self.hosts)}")

    def at_home(self, name: str, router: Router, *, apart: bool = False) -> Host:
        """A host on a home's LAN; `apart`: on a Wi-Fi that keeps its guests from each other."""
        host = self._host(name)
        _join(router, host, "eth0", apart=apart)
        return host

    def move(self, host: Host, to: Router | None) -> None:
        """Carry a host to another LAN, or to a site of its own (None): its link and its address are others then."""
        host.run("ip", "link", "del", "eth0")
        if to is None:
            self._connect(host, "eth0", 4)
        else:
            _join(to, host, "eth0")

    def end(self) -> None:
        for host in reversed(self.hosts.values()):
            host.end()


def _join(router: Router, host: Host, link: str, *, apart: bool = False) -> None:
    router.plugs += 1
    port = f"plug{router.plugs}"
    wire(router, port, host, link)
    router.run("ip", "link", "set", port, "master", "lan")
    if apart:
        router.run("ip", "link", "set", port, "type", "bridge_slave", "isolated", "on")
    number = router.lease(host.name)
    host.address, host.address6 = f"{router.lan}.{number}", ""
    host.run("ip", "addr", "add", f"{host.address}/24", "dev", link)
    host.run("ip", "route", "add", "default", "via", f"{router.lan}.1")
    if router.lan6:
        host.address6 = f"{router.lan6}::{number:x}"
        host.run("ip", "addr", "add", f"{host.address6}/64", "dev", link, "nodad")
        host.run("ip", "route", "add", "default", "via", f"{router.lan6}::1")


def reboot(router: Router) -> None:
    """Switch a router off and on: it has forgotten who spoke to whom, and gives everybody other ports."""
    inside = json.loads(router.run("nft", "-j", "list", "set", "ip", "home", "inside"))["nftables"][-1]["set"]
    known = [entry["elem"]["val"]["concat"] for entry in inside.get("elem", [])]
    ports = random.sample(range(20000, 30000), len(known))
    elements = ", ".join(f"{a} . {p} : {port}" for (a, p), port in zip(known, ports, strict=True))
    made_anew = "flush map ip home opened; flush map ip home mapped; flush map ip home ports;"
    router.run("nft", f"{made_anew} add element ip home ports {{ {elements} }}")
    router.run(sys.executable, "-c", _FLUSH)


def lossy(host: Host, percent: int) -> None:
    """Lose so many in a hundred of the packets that come to a host, or pass a router in either direction."""
    _rules(host, _LOSS.format(percent=percent))


def _rules(host: Host, rules: str) -> None:
    host.path("/run/.lab/rules.nft").write_text(rules)
    host.run("nft", "-f", "/run/.lab/rules.nft")


def _forward(host: Host) -> None:
    host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")


@contextlib.contextmanager
def internet() -> Iterator[Internet]:
    made = Internet()
    try:
        yield made
    finally:
        made.end()
