"""`dns-on-tunnel`: a machine's names on its WireGuard address, for itself and its containers. Whoever shares a LAN with
it can send packets to that address too, and peers can."""

from tests.netns import steps
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host, wait_for
from tests.netns.steps import NETWORK

CONTAINER = """
ip link add ctr0 type bridge && ip addr add 172.30.0.1/24 dev ctr0 && ip link set ctr0 up
ip netns add ctr && ip link add ctrp type veth peer name eth0 netns ctr
ip link set ctrp master ctr0 up
ip -n ctr addr add 172.30.0.2/24 dev eth0 && ip -n ctr link set eth0 up && ip -n ctr route add default via 172.30.0.1
"""


def told(asker: Host, server: str, name: str, *inside: str) -> bool:
    """Whether an asker is told a name's address at a server, by UDP or TCP."""
    dig = ("dig", "+short", "+time=1", "+tries=1", f"@{server}", name)
    return any(name_found(asker, *inside, *dig, *way) for way in ((), ("+tcp",)))


def name_found(asker: Host, *command: str) -> bool:
    return any(line.startswith("10.") for line in asker.run(*command, status=None).splitlines())


def test_names_on_the_tunnels_address_are_for_this_host_and_its_containers(kermpany: Kermpany) -> None:
    mari, ryo = kermpany.join("mari", "humans"), kermpany.join("ryo", "humans")
    neighbour = kermpany.lab.host("neighbour")
    config = mari.path(f"/etc/inn/{NETWORK}.toml")
    config.write_text(config.read_text() + "[agent]\ndns-on-tunnel = true\n")
    mari.run("sh", "-ec", CONTAINER)
    steps.kill(mari, "inn up")
    steps.agent(mari)
    own, name = str(steps.status(mari)["ip"]), kermpany.name("ryo")
    wait_for(lambda: told(mari, own, name), "mari to be told by herself")
    wait_for(lambda: told(mari, own, name, "ip", "netns", "exec", "ctr"), "her container to be told")
    neighbour.run("ip", "route", "add", f"{own}/32", "via", mari.address)
    assert steps.pings(neighbour, own), "packets of the LAN come to her address"
    assert not told(neighbour, own, name)
    assert steps.pings(ryo, own)
    assert not told(ryo, own, name)
