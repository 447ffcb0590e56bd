"""What is said of a firewall, against what the kernel does: rules are loaded into a network namespace, and a packet
comes from another one. Where the verdict is certain it must be what became of the packet."""

import json
import random
import shutil
from collections.abc import Iterator

import pytest

from innerd.host import firewall
from tests.netns.lab import Host, wait_for
from tests.netns.nat import wire

pytestmark = pytest.mark.netns

PORT = 51820
LISTENER = f"""
import socket
heard = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
heard.bind(("::", {PORT}))
while True:
    print(heard.recv(99).decode(), flush=True)
"""


class Wall:
    """A host with rules, and a stranger at the other end of its cable, who sends a packet to see what becomes of it."""

    def __init__(self) -> None:
        self.host, self.stranger = Host("wall", 1), Host("stranger", 2)
        wire(self.host, "eth0", self.stranger, "eth0")
        for host in (self.host, self.stranger):
            host.run("ip", "addr", "add", f"{host.address}/24", "dev", "eth0")
            host.run("ip", "-6", "addr", "add", f"{host.address6}/64", "dev", "eth0", "nodad")
        self.host.start("python3", "-c", LISTENER, log="/run/.lab/heard")
        wait_for(lambda: str(PORT) in self.host.run("ss", "-lnu"), "the port to be listened on")
        self.sent = 0

    def end(self) -> None:
        self.host.end()
        self.stranger.end()

    def load(self, rules: str) -> list[dict[str, object]]:
        """Rules in place of all that there were; as nft tells them."""
        self.host.path("/run/.lab/rules.nft").write_text(f"flush ruleset\n{rules}\n")
        done = self.host.ask("nft", "-f", "/run/.lab/rules.nft")
        if done.returncode:
            raise ValueError(f"nft does not take\n{rules}\n{done.stderr}")
        return list(json.loads(self.host.run("nft", "-j", "list", "ruleset"))["nftables"])

    def truth(self, version: int) -> str:
        """What becomes of a packet. A second one follows it through no rules at all: when that has come, the first one
        has come too, or never will."""
        packet = self._send(version)
        self.host.run("nft", "flush", "ruleset")
        last = self._send(version)
        wait_for(lambda: last in self._heard(), "a packet that nothing hinders")
        return firewall.ACCEPT if packet in self._heard() else firewall.DROP

    def _send(self, version: int) -> str:
        self.sent += 1
        to = self.host.address if version == 4 else self.host.address6
        self.stranger.run("bash", "-c", f"echo -n packet-{self.sent} > /dev/udp/{to}/{PORT}")
        return f"packet-{self.sent}"

    def _heard(self) -> list[str]:
        return self.host.path("/run/.lab/heard").read_text().split()


@pytest.fixture(scope="module")
def wall() -> Iterator[Wall]:
    made = Wall()
    yield made
    made.end()


def rules(
    *lines: str, policy: str = "accept", family: str = "inet", more: str = "", hook: str = "input", name: str = "filter"
) -> str:
    """One table with one chain that is hooked in; `more` chains and sets beside it."""
    chain = "\n    ".join(lines)
    priority = {"prerouting": -300}.get(hook, 0)
    head = f"type filter hook {hook} priority {priority}; policy {policy};"
    return f"table {family} {name} {{\n  {more}\n  chain {hook.split()[0]} {{\n    {head}\n    {chain}\n  }}\n}}\n"


def chain(name: str, *lines: str) -> str:
    return f"chain {name} {{\n" + "\n".join(lines) + "\n}\n"


STATES = "ct state established,related accept"
OURS = f"udp dport {PORT}"

# What must be understood: the verdict is certain.
UNDERSTOOD = {
    "no rules": "",
    "an empty chain": rules(),
    "policy drop": rules(policy="drop"),
    "the port is dropped": rules(f"{OURS} drop"),
    "the port is rejected": rules(f"{OURS} reject"),
    "another port is dropped": rules("udp dport 51821 drop"),
    "that port of TCP is dropped": rules(f"tcp dport {PORT} drop"),
    "accepted before it is dropped": rules(f"{OURS} accept", f"{OURS} drop"),
    "dropped before it is accepted": rules(f"{OURS} drop", f"{OURS} accept"),
    "let in where the policy drops": rules(STATES, f"{OURS} accept", policy="drop"),
    "only SSH is let in": rules(STATES, 'iifname "lo" accept', "tcp dport 22 accept", policy="drop"),
    "counted and logged": rules(f"{OURS} counter log prefix \"in \" drop"),
    "with a comment": rules(f'{OURS} accept comment "WireGuard"', policy="drop"),
    "a set of ports with it": rules(f"udp dport {{ 53, {PORT}, 60000 }} accept", policy="drop"),
    "a set of ports without it": rules("udp dport { 53, 60000 } accept", policy="drop"),
    "a set with ranges": rules("udp dport { 53, 50000-52000 } drop"),
    "a range": rules("udp dport 51000-52000 drop"),
    "a range beside it": rules("udp dport 1-1023 drop"),
    "every port but it": rules(f"udp dport != {PORT} drop"),
    "every port but a set's": rules(f"udp dport != {{ 53, {PORT} }} drop"),
    "every port but others": rules("udp dport != { 53, 54 } drop"),
    "every port but a range": rules("udp dport != 1-1023 drop"),
    "a port of whatever is carried": rules(f"meta l4proto {{ tcp, udp }} th dport {PORT} drop"),
    "UDP by its number": rules("meta l4proto 17 drop"),
    "all but UDP": rules("meta l4proto != udp accept", policy="drop"),
    "UDP by the head of IPv4": rules("ip protocol udp drop", family="ip"),
    "ICMP alone is let in": rules("ip protocol icmp accept", policy="drop", family="ip"),
    "new connections": rules("ct state new drop"),
    "all but new ones": rules("ct state != new accept", policy="drop"),
    "states in a set": rules("ct state { established, new } accept", policy="drop"),
    "what is invalid": rules("ct state invalid drop"),
    "from the link": rules('iifname "eth0" drop'),
    "from another link": rules('iifname "eth1" drop'),
    "from links of a kind": rules('iifname "eth*" drop'),
    "from links of another kind": rules('iifname "wg*" accept', policy="drop"),
    "from all links but one": rules('iifname != "lo" drop'),
    "by the number of the link": rules("iif lo accept", policy="drop"),
    "from some links": rules(f'iifname {{ "eth0", "lo" }} {OURS} accept', policy="drop"),
    "IPv4 alone": rules("meta nfproto ipv4 drop"),
    "IPv6 alone": rules("meta nfproto ipv6 drop"),
    "a table of IPv4": rules(policy="drop", family="ip"),
    "a table of IPv6": rules(policy="drop", family="ip6"),
    "a chain that is jumped to": rules("jump deep", more=chain("deep", f"{OURS} drop")),
    "a chain that comes back": rules("jump deep", f"{OURS} drop", more=chain("deep", "tcp dport 1 drop")),
    "a chain that is left early": rules(
        "jump deep", policy="drop", more=chain("deep", f"{OURS} return", "accept")
    ),
    "a jump that is not taken": rules("tcp dport 1-65535 jump deep", more=chain("deep", "drop")),
    "a goto that accepts": rules(f"{OURS} goto deep", "drop", more=chain("deep", "accept")),
    "a goto ends with the policy": rules(
        "goto deep", "accept", policy="drop", more=chain("deep", "tcp dport 1 accept")
    ),
    "a goto in a jump comes back to the jump": rules(
        "jump one", f"{OURS} drop", more=chain("two", "tcp dport 1 drop") + chain("one", "goto two", "accept")
    ),
    "jumps of jumps": rules(
        "jump one", policy="drop", more=chain("two", f"{OURS} accept") + chain("one", "jump two", "drop")
    ),
    "a return in the first chain": rules("return", "accept", policy="drop"),
    "two chains, one of which drops": rules(f"{OURS} accept") + rules(policy="drop", name="other"),
    "two chains that let it in": rules(f"{OURS} accept", policy="drop") + rules(name="other", family="ip"),
    "two tables of different families": rules(f"{OURS} accept", policy="drop")
    + rules(f"{OURS} drop", family="ip6"),
    "a chain for what is forwarded": rules(policy="drop", hook="forward"),
    "a chain for what goes out": rules("udp sport 1 drop", hook="output"),
    "a chain that nobody jumps to": rules(more=chain("deep", "drop")),
}  # fmt: skip

# What may be uncertain, but must not be told wrong.
HEEDED = {
    "by the sender": rules("ip saddr 10.0.0.0/8 drop"),
    "by another sender": rules("ip saddr 192.0.2.0/24 accept", policy="drop"),
    "by the sender of IPv6": rules("ip6 saddr fd99::/64 drop"),
    "by the destination": rules("ip daddr 10.99.0.1 accept", policy="drop"),
    "by a set of senders": rules("ip saddr @known accept", policy="drop", more="set known { type ipv4_addr; }"),
    "by a named set of ports": rules(
        "udp dport @open accept", policy="drop", more=f"set open {{ type inet_service; elements = {{ {PORT} }}; }}"
    ),
    "a set with comments": rules(f'udp dport {{ {PORT} comment "ours", 53 }} drop'),
    "by sender and port together": rules(f"ip saddr . udp dport {{ 10.99.0.2 . {PORT} }} drop"),
    "as many as a limit allows": rules("limit rate 5/second accept", policy="drop"),
    "what is over a limit": rules("limit rate over 5/second drop"),
    "what is over a quota": rules("quota over 100 mbytes drop"),
    "by a mark": rules("meta mark 7 accept", policy="drop"),
    "marked and let in": rules("meta mark set 7 accept", policy="drop"),
    "by a bit of the port": rules("udp dport & 1 == 1 drop"),
    "by what the address is": rules("fib daddr type local accept", policy="drop"),
    "by the way back": rules("fib saddr . iif oif missing drop"),
    "by the protocol on the link": rules("meta protocol ip drop"),
    "by the kind of packet": rules("meta pkttype host drop"),
    "pings are let in": rules("icmp type echo-request accept", "icmpv6 type echo-request accept", policy="drop"),
    "by chance": rules("numgen random mod 2 == 0 drop"),
    "senders are remembered": rules(
        "add @seen { ip saddr } drop", more="set seen { type ipv4_addr; flags dynamic; size 99; }"
    ),
    "by the sender's port": rules("udp sport 1-1023 drop"),
    "by the length": rules("udp length 1-999 drop"),
    "a jump that may be taken": rules("ip saddr 10.99.0.2 jump deep", more=chain("deep", "drop")),
    "a goto that may be taken": rules("ip saddr 10.99.0.2 goto deep", "drop", more=chain("deep", "accept")),
    "states by a map": rules(
        "ct state vmap { established : accept, related : accept, invalid : drop }", f"{OURS} drop"
    ),
    "the port redirected elsewhere": (
        f"table ip nat {{\n chain pre {{\n type nat hook prerouting priority -100;\n {OURS} redirect to :9\n }}\n}}"
    ),
    "a port by its head in IPv6": rules("ip6 nexthdr udp drop"),
    "a port by its head in IPv4": rules("ip protocol udp drop"),
    "from a port on": rules("udp dport >= 1024 drop"),
    "up to a port": rules("udp dport < 1024 accept", "drop"),
    "up to a port that is higher": rules("udp dport <= 60000 accept", policy="drop"),
    "all above a port": rules("udp dport > 60000 drop"),
    "ports by a map that drops": rules(f"udp dport vmap {{ {PORT} : drop }}"),
    "ports by a map that accepts": rules(f"udp dport vmap {{ 53 : accept, {PORT} : accept }}", policy="drop"),
    "links by a map": rules(
        'iifname vmap { "lo" : accept, "eth0" : jump world }', policy="drop", more=chain("world", f"{OURS} accept")
    ),
    "families by a map": rules(
        "meta protocol vmap { ip : jump world, ip6 : jump world }", policy="drop", more=chain("world", f"{OURS} accept")
    ),
    "dropped before it is routed": rules(f"{OURS} drop", hook="prerouting", name="raw"),
    "dropped where it comes in": rules(f"{OURS} drop", hook="ingress device eth0", family="netdev"),
    "not tracked": rules("notrack", hook="prerouting", name="raw") + rules("ct state new accept", policy="drop"),
    "not TCP by its head in IPv6": rules("ip6 nexthdr != tcp drop"),
    "not TCP by its head in IPv4": rules("ip protocol != tcp drop"),
    "let in unless TCP by its head in IPv4": rules("ip protocol != tcp accept", policy="drop"),
    "let in unless TCP by its head in IPv6": rules("ip6 nexthdr != tcp accept", policy="drop"),
    "not a port of TCP": rules("tcp dport != 22 drop"),
    "the port changed on the way": rules(f"{OURS} udp dport set 9", hook="prerouting"),
    "let in early and dropped late": rules(f"{OURS} accept", hook="prerouting", name="raw") + rules(policy="drop"),
    "not tracked, by a chain that is jumped to": rules(
        "jump deep", hook="prerouting", name="raw", more=chain("deep", "notrack")
    ) + rules("ct state new accept", policy="drop"),
    "dropped where it comes in, by another link": rules("drop", hook="ingress device lo", family="netdev"),
    "a table that sleeps": rules(policy="drop", more="flags dormant"),
}  # fmt: skip


def cases(table: dict[str, str]) -> list[object]:
    both = [(version, name) for version in (4, 6) for name in table]
    return [pytest.param(v, table[name], id=f"IPv{v}: {name}") for v, name in both]


def verdict(loaded: list[dict[str, object]], version: int) -> set[str]:
    possible, where = firewall.verdict(loaded, firewall.incoming("udp", PORT, "eth0", version))
    assert possible <= {firewall.ACCEPT, firewall.DROP}
    assert possible
    assert bool(where) == (firewall.DROP in possible)
    return possible


@pytest.mark.parametrize(("version", "text"), cases(UNDERSTOOD))
def test_what_is_understood_is_what_becomes_of_a_packet(wall: Wall, version: int, text: str) -> None:
    possible = verdict(wall.load(text), version)
    assert possible == {wall.truth(version)}


@pytest.mark.parametrize(("version", "text"), cases(HEEDED))
def test_what_is_not_understood_is_never_told_wrong(wall: Wall, version: int, text: str) -> None:
    possible = verdict(wall.load(text), version)
    assert wall.truth(version) in possible, possible


def test_the_fix_that_is_proposed_lets_the_packet_in(wall: Wall) -> None:
    """`nft insert rule CHAIN udp dport PORT accept`, as doctor says it, in the chain that is named."""
    _, where = firewall.verdict(
        wall.load(rules("tcp dport 22 accept", "drop")), firewall.incoming("udp", PORT, "eth0", 4)
    )
    wall.host.run("nft", "insert", "rule", *where.split(), "udp", "dport", str(PORT), "accept")
    assert verdict(firewall_of(wall), 4) == {firewall.ACCEPT} == {wall.truth(4)}


def firewall_of(wall: Wall) -> list[dict[str, object]]:
    return list(json.loads(wall.host.run("nft", "-j", "list", "ruleset"))["nftables"])


# -- rules by chance ------------------------------------------------------------------------------------------------

CARRIED = (
    "", "", "", OURS, OURS, f"udp dport {{ 53, {PORT} }}", "udp dport 53", "udp dport != 53", "udp dport 50000-60000",
    "tcp dport 22", "meta l4proto udp", "meta l4proto { tcp, icmp }",
)  # fmt: skip
BESIDE = (
    "", "", "", 'iifname "eth0"', 'iifname != "eth0"', 'iifname "lo"', 'iifname "e*"', "ct state new",
    "ct state established", "limit rate 100/second", "counter", 'log prefix "x"', "meta mark 1", "fib daddr type local",
)  # fmt: skip
IN_A_FAMILY = {
    "inet": ("meta nfproto ipv6", "ip saddr 10.99.0.0/24", "ip saddr 192.0.2.1"),
    "ip": ("ip saddr 10.99.0.0/24", "ip saddr 192.0.2.1"),
    "ip6": ("ip6 saddr fd99::/64", "ip6 saddr fd98::/64"),
}


def at_random(chance: random.Random) -> str:
    """One to three chains of hook input, with chains that they jump to."""
    text = ""
    for table in range(chance.randint(1, 3)):
        family = chance.choice(("inet", "inet", "ip", "ip6"))
        names = [f"c{number}" for number in range(chance.randint(0, 3))]

        def rule(below: list[str], family: str = family) -> str:
            match = f"{chance.choice(BESIDE + IN_A_FAMILY[family])} {chance.choice(CARRIED)}"
            verdicts = ["accept", "drop", "return", *(f"{how} {name}" for name in below for how in ("jump", "goto"))]
            return f"{match} {chance.choice(verdicts)}"

        more = ""
        for at, name in reversed(list(enumerate(names))):  # a chain is declared before it is jumped to
            more += chain(name, *(rule(names[at + 1 :]) for _ in range(chance.randint(0, 4))))
        lines = [rule(names) for _ in range(chance.randint(0, 6))]
        policy = chance.choice(("accept", "drop"))
        text += rules(*lines, policy=policy, family=family, more=more, name=f"t{table}")
    return text


def test_rules_by_chance_are_never_told_wrong(wall: Wall) -> None:
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    certain = 0
    for _ in range(80):
        text, version = at_random(chance), chance.choice((4, 6))
        possible = verdict(wall.load(text), version)
        certain += len(possible) == 1
        truth = wall.truth(version)
        assert truth in possible, f"seed {seed}, IPv{version}: said {possible}, was {truth}\n{text}"
    assert certain > 40, seed


# -- iptables-nft -----------------------------------------------------------------------------------------------------

IPTABLES = {
    "the port": (f"-p udp --dport {PORT} -j DROP",),
    "another port": ("-p udp --dport 53 -j DROP",),
    "a range": ("-p udp --dport 51000:52000 -j DROP",),
    "several ports": (f"-p udp -m multiport --dports 53,{PORT} -j DROP",),
    "new connections": ("-m conntrack --ctstate NEW -j DROP",),
    "all links but one": ("! -i lo -j DROP",),
    "let in where the policy drops": (
        "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT", f"-p udp --dport {PORT} -j ACCEPT", "-j DROP",
    ),
    "rejected": (f"-p udp --dport {PORT} -j REJECT",),
}  # fmt: skip


@pytest.mark.parametrize(
    "lines",
    IPTABLES.values(),
    ids=IPTABLES,
)
@pytest.mark.skipif(shutil.which("iptables-nft") is None, reason="there is no iptables-nft here")
def test_rules_of_iptables_are_never_told_wrong(wall: Wall, lines: tuple[str, ...]) -> None:
    wall.host.run("nft", "flush", "ruleset")
    for line in lines:
        wall.host.run("iptables-nft", "-A", "INPUT", *line.split())
    possible = verdict(firewall_of(wall), 4)
    assert wall.truth(4) in possible, possible
