"""The network of the NAT tests: a coordinator on the internet, and machines of every kind, each in a CIDR of its own.
So two of them know nothing of each other until their CIDRs are associated, and the time from there can be measured."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

from innerd.domain.values import PublicKey
from innerd.wireguard.device import DeviceError
from innerd.wireguard.userspace import UserspaceBackend
from tests.netns import steps
from tests.netns.lab import Host, wait_for
from tests.netns.nat import Internet, Router
from tests.netns.steps import NETWORK

SERVER = "coordinator.example"  # in everybody's hosts file: of both families
_AT_ONCE = 2  # machines that join at a time


class Sites:
    """`relay`, `per_peer` and `tcp` are what the config says of the relay."""

    def __init__(
        self, net: Internet, *, relay: str = "auto", per_peer: str = "50 Mbit/s", tcp: str | None = None
    ) -> None:
        self.net = net
        self.coordinator = net.dual("coordinator")
        self.keys: dict[str, str] = {}
        self.addresses: dict[str, str] = {}
        self.introduce(self.coordinator)
        steps.found(self.coordinator, "10.42.0.0/16", endpoint=f"{SERVER}:51820")
        with self.coordinator.path(f"/etc/innerd/{NETWORK}.toml").open("a") as config:
            config.write(f'[relay]\nmode = "{relay}"\nper-peer = "{per_peer}"\n')
            if tcp is not None:
                config.write(f'tcp = "{tcp}"\n')
        steps.serve(self.coordinator)

    @property
    def hosts(self) -> dict[str, Host]:
        return self.net.hosts

    def innerd(self, verb: str, *rest: str) -> str:
        return self.coordinator.run("innerd", verb, NETWORK, *rest)

    def introduce(self, host: Host) -> None:
        """Tell a host where the coordinator is: what DNS is for elsewhere."""
        with host.path("/etc/hosts").open("a") as hosts:
            hosts.write(f"{self.coordinator.address6} {SERVER}\n{self.coordinator.address} {SERVER}\n")

    # -- machines -----------------------------------------------------------------------------------------------

    def join(self, names: Iterable[str]) -> None:
        """Put machines where they belong (KIND-LETTER), and make them peers whose agents are connected."""
        made = [self.place(name) for name in names]
        for number, host in enumerate(made, len(self.keys) + 1):  # one by one: two at once are refused
            self.innerd("add-cidr", "--name", host.name, "--cidr", f"10.42.{number}.0/24", "--parent", NETWORK)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self.enrol, made, [host.name for host in made]))
        self._learn()

    def _learn(self) -> None:
        for peer in steps.asked(self.coordinator, "innerd", "list-peers", NETWORK)["peers"]:
            self.keys[peer["name"]], self.addresses[peer["name"]] = peer["public_key"], peer["ip"]

    def enrol(self, host: Host, cidr: str) -> None:
        """Make a machine that was placed a peer, whose agent is connected."""
        self.introduce(host)
        steps.join(host, steps.invite(self.coordinator, "innerd", host.name, cidr))

    def enrol_patiently(self, host: Host) -> None:
        """The same where packets are lost: what is not answered is done again."""
        self.introduce(host)
        number = len(self.keys) + 1
        self.innerd("add-cidr", "--name", host.name, "--cidr", f"10.42.{number}.0/24", "--parent", NETWORK)
        invitation = steps.hand_over(host, steps.invite(self.coordinator, "innerd", host.name, host.name))
        install = ("inn", "install", invitation, "--name", NETWORK)
        wait_for(lambda: host.ask(*install).returncode == 0, f"{host.name} to join", 120)
        host.begin("inn", "up", "-d", NETWORK, log="/run/.lab/inn.log")
        wait_for(lambda: host.path(f"/run/inn/{NETWORK}.sock").exists(), f"the agent of {host.name}")
        wait_for(lambda: steps.status(host)["is_connected"], f"{host.name} to be connected", 60)
        self._learn()

    def place(self, name: str) -> Host:
        """A machine of a kind. Some kinds are about two machines: both are placed by what they share."""
        net, kind = self.net, name.rpartition("-")[0]
        match kind:
            case "public" | "public6" | "dual" | "firewalled":
                made: Host = getattr(net, kind)(name)
                return made
            case "cgnat":
                return net.at_home(name, net.home(f"home-{name}", "easy", behind=self._shared("carrier", "easy")))
            case "cgnat-hairpin":
                carrier = self._shared("carrier-hairpin", "hairpin")
                return net.at_home(name, net.home(f"home-{name}", "easy", behind=carrier))
            case "guest":
                return net.at_home(name, self._shared("hotel", "easy"), apart=True)
            case "hairpin":
                return net.at_home(name, self._shared("hotel-hairpin", "hairpin"), apart=True)
            case "same":
                return net.at_home(name, self.router("home-easy-a"))
            case "twin":
                return net.at_home(name, net.home(f"home-{name}", "easy", lan=self.router("home-easy-a").lan))
            case "easy6":
                return net.at_home(name, net.home(f"home-{name}", "easy", ipv6=True))
        return net.at_home(name, net.home(f"home-{name}", kind))

    def router(self, name: str) -> Router:
        router = self.hosts[name]
        assert isinstance(router, Router)
        return router

    def _shared(self, name: str, kind: str) -> Router:
        if name not in self.hosts:
            make = self.net.carrier if name.startswith("carrier") else self.net.home
            make(name, kind)
        return self.router(name)

    # -- meeting ------------------------------------------------------------------------------------------------

    def associate(self, one: str, other: str) -> None:
        """Let two machines know of each other."""
        self.innerd("add-association", one, other, "--yes")

    def part(self, one: str, other: str) -> None:
        """Let two machines forget each other."""
        self.innerd("delete-association", one, other, "--yes")
        for host, peer in ((one, other), (other, one)):
            key = self.keys[peer]
            wait_for(partial(self._has_forgotten, host, key), f"{host} to forget {peer}")

    def _has_forgotten(self, host: str, key: str) -> bool:
        return key not in steps.device_keys(self.hosts[host])

    def met_at(self, one: str, other: str) -> float | None:
        """When the second of two devices had a handshake with the other; None before that."""
        found = [handshake(self.hosts[host], self.keys[peer]) for host, peer in ((one, other), (other, one))]
        return None if None in found else max(at for at in found if at is not None)

    def meet(self, one: str, other: str, seconds: float = 20) -> float:
        """Associate two machines and wait until both devices show a handshake: the seconds from the commit to that."""
        self.associate(one, other)
        met = wait_for(lambda: self.met_at(one, other), f"{one} and {other} to shake hands", seconds)
        return met - self.associated_at()

    def associated_at(self) -> float:
        """When the newest association was committed."""
        audit = steps.asked(self.coordinator, "innerd", "audit", NETWORK, "--type", "association.added")
        return datetime.fromisoformat(audit["events"][-1]["at"]).timestamp()

    def seen_by_the_coordinator(self, name: str) -> str:
        peers = steps.asked(self.coordinator, "innerd", "list-peers", NETWORK)["peers"]
        return next(str(peer["learned_endpoint"]) for peer in peers if peer["name"] == name)

    def reaches(self, one: str, other: str, seconds: float = 10) -> None:
        steps.reaches(self.hosts[one], self.addresses[other], seconds)


def handshake(host: Host, key: str, interface: str = NETWORK) -> float | None:
    """The time of a device's last handshake with a peer, read from the device itself."""
    try:
        found = UserspaceBackend(host.path("/run/wireguard")).get(interface).peers
        return found[PublicKey(key)].last_handshake if key in found else None
    except DeviceError:
        lines = host.run("wg", "show", interface, "latest-handshakes", status=None).splitlines()
        at = {line.split()[0]: float(line.split()[1]) for line in lines}
        return at.get(key) or None
