"""What can be wrong on a host: each ailment is brought on and, at its end, cured."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from tests.netns import steps
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host, wait_for
from tests.netns.steps import NETWORK

Deed = Callable[[Kermpany], AbstractContextManager[None]]
COORDINATOR, MARI = "coordinator", "mari"
PORT, MARIS_PORT = 51820, 51999
TAKES = (
    "import pathlib, socket, sys, time; pathlib.Path('/proc/self/comm').write_text('squatter');"
    " s = socket.socket(2, int(sys.argv[1])); s.setsockopt(1, 2, sys.argv[1] == '1');"
    " s.bind(('', int(sys.argv[2]))); sys.argv[1] == '1' and s.listen();"
    " time.sleep(999)"
)


def shell(name: str, hurt: str, heal: str) -> Deed:
    """A shell command on a host, and the one that takes it back."""

    @contextlib.contextmanager
    def deed(made: Kermpany) -> Iterator[None]:
        host = made.hosts[name]
        host.run("sh", "-ec", hurt)
        try:
            yield
        finally:
            host.run("sh", "-ec", heal)

    return deed


def edited(name: str, path: str, old: str, new: str) -> Deed:
    """A file of a host that says something else."""

    @contextlib.contextmanager
    def deed(made: Kermpany) -> Iterator[None]:
        file = made.hosts[name].path(path)
        before = file.read_text()
        assert old in before
        file.write_text(before.replace(old, new))
        try:
            yield
        finally:
            file.write_text(before)

    return deed


def squatter(name: str, protocol: str, port: int) -> Deed:
    """A process of that name has a port."""

    @contextlib.contextmanager
    def deed(made: Kermpany) -> Iterator[None]:
        host = made.hosts[name]
        process = host.start("python3", "-c", TAKES, "2" if protocol == "udp" else "1", str(port))
        wait_for(lambda: "squatter" in host.run("ss", f"-lnp{protocol[0]}"), "the port to be taken")
        try:
            yield
        finally:
            steps.kill(host, "write_text.'squatter'")
            process.wait()

    return deed


@contextlib.contextmanager
def no_agent(made: Kermpany) -> Iterator[None]:
    """mari's agent was killed; her interface is as it was."""
    mari = made.hosts[MARI]
    steps.kill(mari, "inn up")
    try:
        yield
    finally:
        steps.agent(mari)


def _down(made: Kermpany) -> Host:
    """mari, whose agent took her interface down and ended."""
    mari = made.hosts[MARI]
    mari.run("inn", "down", NETWORK)
    wait_for(lambda: not mari.pids("inn up"), "the agent to end")
    return mari


@contextlib.contextmanager
def interface_down(made: Kermpany) -> Iterator[None]:
    """mari has no agent and no interface."""
    mari = _down(made)
    try:
        yield
    finally:
        steps.agent(mari)


@contextlib.contextmanager
def fresh_start(made: Kermpany) -> Iterator[None]:
    """mari starts from nothing, and hears nobody: no handshake is left of before."""
    mari = _down(made)
    mari.begin("inn", "up", "-d", NETWORK, log="/run/.lab/inn.log")
    wait_for(lambda: steps.status(mari)["has_agent"], "the agent to answer")
    yield


@contextlib.contextmanager
def not_serving(made: Kermpany) -> Iterator[None]:
    """The coordinator was killed; its interface is as it was."""
    steps.kill(made.coordinator, "innerd serve")
    try:
        yield
    finally:
        steps.serve(made.coordinator)


@contextlib.contextmanager
def nothing_there(made: Kermpany) -> Iterator[None]:
    """The coordinator has neither a process nor an interface."""
    steps.kill(made.coordinator, "innerd serve")
    steps.kill(made.coordinator, "wireguard-go")
    try:
        yield
    finally:
        steps.serve(made.coordinator)


@contextlib.contextmanager
def unplugged(made: Kermpany) -> Iterator[None]:
    made.lab.unplug(COORDINATOR)
    try:
        yield
    finally:
        made.lab.plug(COORDINATOR)


@contextlib.contextmanager
def foreign_interface(made: Kermpany, name: str = MARI) -> Iterator[None]:
    """Somebody makes a WireGuard interface of our name by hand, where ours is down."""
    host = made.hosts[name]
    make_by_hand(host)
    try:
        yield
    finally:
        remove_by_hand(host)


def make_by_hand(host: Host) -> str:
    """As wg(8) says it; its public key."""
    host.run("wireguard-go", NETWORK)
    host.run("sh", "-ec", f"wg genkey > /run/.lab/byhand; wg set {NETWORK} private-key /run/.lab/byhand")
    host.run("sh", "-ec", f"ip addr add 192.0.2.1/24 dev {NETWORK}; ip link set {NETWORK} up")
    return host.run("wg", "show", NETWORK, "public-key").strip()


def remove_by_hand(host: Host) -> None:
    daemons = set(host.pids("wireguard-go"))
    host.run("ip", "link", "del", NETWORK)
    wait_for(lambda: not daemons & set(host.pids("wireguard-go")), "the daemon made by hand to end")


def dropping(name: str, *lines: str) -> Deed:
    """A firewall as people write it, with more rules of ours before its policy: pings, and nothing else."""
    rules = "; ".join(('iifname "lo" accept', "ip protocol icmp accept", *lines, f'iifname "{NETWORK}" accept'))
    table = f"table ip wall {{\n chain in {{ type filter hook input priority 0; policy drop; {rules}; }}\n}}"
    return shell(
        name, f"cat > /run/.lab/wall.nft <<'E'\n{table}\nE\nnft -f /run/.lab/wall.nft", "nft delete table ip wall"
    )


def said_endpoint(endpoint: str) -> Deed:
    """Peers are told to come there."""

    @contextlib.contextmanager
    def deed(made: Kermpany) -> Iterator[None]:
        made.innerd("set-endpoint", endpoint, "--yes")
        try:
            yield
        finally:
            made.innerd("set-endpoint", f"{made.coordinator.address}:{PORT}", "--yes")

    return deed
