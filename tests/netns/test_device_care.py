"""Whatever somebody does to the device by hand is put right, and said: by the agent and by the coordinator, while a
ping goes through the tunnel."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.netns import steps
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host, Lab, wait_for
from tests.netns.pinging import awaited_anew, device, index, pinging
from tests.netns.steps import NETWORK

pytestmark = pytest.mark.slow  # minutes, most of which are waits for WireGuard's own timers

AGENT, COORDINATOR = "mari", "coordinator"
API = "10.42.0.1"
STRANGER = "hzMfTyRIzzmoQBzYIHxmzzFnTRPpEcA0ZjVKyGPQ8m8="
LOGS = {AGENT: "inn.log", COORDINATOR: "innerd.log"}

# What somebody does: a command, with the network's name as $N, another peer's key as $K; and whether netlink says so at
# once: else it is found at the next look.
DEEDS = {
    "the daemon is killed": ("kill -9 $(pgrep wireguard-go)", True),
    "the link is deleted": ("ip link del $N", False),  # its daemon may need a moment to end
    "the address is taken off": ("ip addr del $A dev $N", True),
    "all addresses are flushed": ("ip addr flush dev $N", True),
    "another address is added": ("ip addr add 192.0.2.9/24 dev $N", True),
    "the route is deleted": ("ip route del 10.42.0.0/16 dev $N", True),
    "the MTU is made smaller": ("ip link set $N mtu 1300", True),
    "the MTU is made bigger": ("ip link set $N mtu 9000", True),
    "the link is set down": ("ip link set $N down", True),
    "a peer is removed": ("wg set $N peer $K remove", False),
    "a stranger is added": (f"wg set $N peer {STRANGER} allowed-ips 10.42.77.7/32", False),
    "a stranger takes an address": (f"wg set $N peer {STRANGER} allowed-ips $I/32", False),
    "the allowed IPs are others": ("wg set $N peer $K allowed-ips 10.42.99.9/32", False),
    "the allowed IPs are gone": ("wg set $N peer $K allowed-ips ''", False),
    "the keepalive is another": ("wg set $N peer $K persistent-keepalive 7", False),
    "the listen port is another": ("wg set $N listen-port 52345", False),
    "the private key is another": ("wg genkey | wg set $N private-key /dev/stdin", False),
}
AT_ONCE, AT_A_LOOK = 3.0, {AGENT: 13.0, COORDINATOR: 8.0}  # seconds
NEW_SESSION = 40.0  # seconds, where both sides must shake hands anew and the other one does not know yet
SHAKES = ("the private key is another",)


@pytest.fixture(scope="module")
def made(make_lab: Callable[[], Lab]) -> Kermpany:
    """A network of ryo (admin) and mari, who see each other; mari has a port of her own."""
    made = Kermpany(make_lab(), 4)
    made.begin()
    made.join("ryo", "humans", "--admin", "true")
    mari = made.join("mari", "humans")
    mari.run("inn", "set-listen-port", NETWORK, "--listen-port", "51999", "--yes")
    steps.kill(mari, "inn up")
    steps.agent(mari)
    return made


@pytest.fixture
def pair(made: Kermpany) -> Iterator[Kermpany]:
    """The network as every test finds it, and leaves it: both agents connected, ryo and mari in reach."""
    yield made
    wait_for(lambda: steps.asked(made.coordinator, "innerd", "status", NETWORK)["streams"] == 2, "both agents", 60)
    steps.reaches(made.hosts["mari"], made.name("ryo"), 30)


def repairs(host: Host) -> list[str]:
    """What the journal of a peer tells of its device."""
    events = steps.asked(host, "inn", "events", NETWORK)["events"]
    assert all(event["subject"] == "device" for event in events if event["type"] == "device.repaired")
    return [event["text"] for event in events if event["type"] == "device.repaired"]


def done_by_hand(made: Kermpany, host: Host, command: str) -> None:
    ryo = steps.status(made.hosts["ryo"])
    address = f"{API}/16" if host is made.coordinator else f"{steps.status(host)['ip']}/16"
    host.run("sh", "-ec", f"N={NETWORK} A={address} K={ryo['public_key']} I={ryo['ip']}; {command}")


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("where", [AGENT, COORDINATOR])
def test_what_somebody_does_is_put_right_and_said(pair: Kermpany, where: str, deed: str) -> None:
    host, ryo = pair.hosts[where], pair.hosts["ryo"]
    command, is_told = DEEDS[deed]
    limit = AT_ONCE if is_told else AT_A_LOOK[where]
    before, was = device(host), repairs(host) if where == AGENT else []
    assert before is not None
    log = len(steps.said(host, LOGS[where]))
    with pinging(ryo, steps.status(host)["ip"] if where == AGENT else API) as ping:
        began = time.monotonic()
        done_by_hand(pair, host, command)
        wait_for(lambda: device(host) == before, f"the device to be as it was: {before}", limit + 5)
        whole = time.monotonic() - began
        back = ping.goes_on(NEW_SESSION + 10) + time.monotonic() - began
    wait_for(lambda: "put right" in (said := steps.said(host, LOGS[where])[log:]) or "made anew" in said, "the log")
    print(f"{where}, {deed}: whole after {whole:.1f} s, traffic after {back:.1f} s")
    if where == AGENT:
        found = wait_for(lambda: repairs(host)[len(was) :], "the journal to say so")
        print("  ", found)
        assert all(text.startswith("the device was changed by somebody else, and put right: ") for text in found)
        assert steps.status(host)["device_error"] is None
    assert whole < limit, whole
    assert back < (NEW_SESSION if deed in SHAKES else limit + 1), back
    assert "Traceback" not in steps.said(host, LOGS[where])


def test_after_a_killed_daemon_traffic_is_back_in_two_seconds(pair: Kermpany) -> None:
    """On the side with the lower key, which waits for the other one to begin: that one does not know that it should."""
    low, other = sorted((pair.hosts["mari"], pair.hosts["ryo"]), key=steps.own_key)
    for _ in range(10):
        with pinging(other, steps.status(low)["ip"]) as ping:
            number, began = index(low), time.monotonic()
            done_by_hand(pair, low, "kill -9 $(pgrep wireguard-go)")
            awaited_anew(low, number)
            ping.goes_on(60)
            assert time.monotonic() - began < 2.0


@pytest.mark.parametrize("where", [AGENT, COORDINATOR])
def test_a_daemon_that_is_slow_to_end_is_waited_for_and_no_longer(pair: Kermpany, where: str) -> None:
    """When the link is deleted, its daemon has the port for a moment yet: that must not cost a whole look."""
    host = pair.hosts[where]
    before = device(host)
    for _ in range(8):
        (pid,) = host.pids("wireguard-go")
        host.run("sh", "-ec", f"kill -STOP {pid}; ip link del {NETWORK}")
        assert device(host) is None
        host.run("kill", "-CONT", str(pid))
        began = time.monotonic()
        wait_for(lambda: device(host) == before, "the device to be as it was", 20)
        assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("deed", ["the MTU is made smaller", "a stranger is added", "the keepalive is switched off"])
def test_what_does_not_hinder_traffic_costs_none(pair: Kermpany, deed: str) -> None:
    mari = pair.hosts["mari"]
    before = device(mari)
    with pinging(pair.hosts["ryo"], steps.status(mari)["ip"]) as ping:
        done_by_hand(pair, mari, DEEDS[deed][0])
        wait_for(lambda: device(mari) == before, "the device to be as it was")
        ping.goes_on()
        assert ping.lost() == []


def test_what_is_as_it_should_be_is_not_touched_and_nothing_is_said(pair: Kermpany) -> None:
    """The host's own addresses and routes come and go: that is nobody's doing to the device."""
    mari = pair.hosts["mari"]
    was, number, log = repairs(mari), index(mari), len(steps.said(mari, "inn.log"))
    with pinging(pair.hosts["ryo"], steps.status(mari)["ip"]) as ping:
        for command in ("addr add 10.99.0.77/24 dev eth0", "addr del 10.99.0.77/24 dev eth0"):
            mari.run("ip", *command.split())
        wait_for(lambda: "asking the coordinator" in steps.said(mari, "inn.log")[log:], "the agent to have noticed")
        assert mari.run("inn", "up", NETWORK).startswith(f"{NETWORK} is up at revision")
        ping.goes_on()
        assert len(ping.lost()) <= 1
    assert (repairs(mari), index(mari)) == (was, number)
    assert "put right" not in steps.said(mari, "inn.log")[log:]


@pytest.mark.parametrize("has_agent", [True, False], ids=["with the agent", "without an agent"])
def test_up_once_more_disturbs_nothing(pair: Kermpany, has_agent: bool) -> None:
    mari = pair.hosts["mari"]
    if not has_agent:
        steps.kill(mari, "inn up")
    before, number = device(mari), index(mari)
    with pinging(pair.hosts["ryo"], steps.status(mari)["ip"]) as ping:
        for _ in range(3):
            mari.run("inn", "up", NETWORK)
            mari.run("inn", "fetch", NETWORK)
        ping.goes_on()
        assert len(ping.lost()) <= 1
    assert (device(mari), index(mari)) == (before, number)
    if not has_agent:
        steps.agent(mari)
        assert (device(mari), index(mari)) == (before, number)


def test_serving_anew_disturbs_nothing(pair: Kermpany) -> None:
    before, number = device(pair.coordinator), index(pair.coordinator)
    with pinging(pair.hosts["ryo"], API) as ping:
        steps.kill(pair.coordinator, "innerd serve")
        steps.serve(pair.coordinator)
        ping.goes_on()
        assert len(ping.lost()) <= 1
    assert (device(pair.coordinator), index(pair.coordinator)) == (before, number)


def test_ten_deeds_at_once_are_all_put_right(pair: Kermpany) -> None:
    mari = pair.hosts["mari"]
    before = device(mari)
    with pinging(pair.hosts["ryo"], steps.status(mari)["ip"]) as ping:
        for deed in reversed(DEEDS):
            if deed not in ("the daemon is killed", "the link is deleted", "the listen port is another"):
                ryo = steps.status(pair.hosts["ryo"])
                values = f"N={NETWORK} A=10.42.128.2/16 K={ryo['public_key']} I={ryo['ip']}"
                mari.ask("sh", "-c", f"{values}; {DEEDS[deed][0]}")  # some fail, as it is put right meanwhile
        wait_for(lambda: device(mari) == before, "the device to be as it was", 20)
        ping.goes_on(NEW_SESSION + 10)


def test_two_networks_on_one_host_do_not_mind_each_other(pair: Kermpany) -> None:
    """Another network of the same two machines, with ranges, ports and names of its own."""
    coordinator, mari, other = pair.coordinator, pair.hosts["mari"], "bakery"
    steps.found(coordinator, "10.77.0.0/16", name=other, port=51830)
    coordinator.run("innerd", "add-cidr", other, "--name", "ovens", "--cidr", "10.77.1.0/24", "--parent", other)
    serving = steps.serve(coordinator, name=other)
    steps.join(mari, steps.invite(coordinator, "innerd", "mari", "ovens", network=other), network=other)
    try:
        steps.reaches(mari, "10.77.0.1")
        assert steps.resolves(mari, f"mari.{other}.wg") == steps.status(mari, other)["ip"]
        assert steps.resolves(mari, pair.name("ryo"))
        ours, theirs = device(mari), device(mari, other)
        with pinging(pair.hosts["ryo"], steps.status(mari)["ip"]) as ping, pinging(mari, "10.77.0.1") as baking:
            for host in (mari, coordinator):
                number = index(host, other)
                host.run("ip", "link", "del", other)
                awaited_anew(host, number, other)
            baking.goes_on(30)
            assert ping.lost() == []
            assert device(mari) == ours
            remade = device(mari, other)
            assert theirs is not None
            assert remade is not None
            assert remade | {"port": 0} == theirs | {"port": 0}  # it need not have noted its port yet
            mari.run("inn", "down", other)
            ping.goes_on()
            assert ping.lost() == []
        assert device(mari, other) is None
        assert steps.resolves(mari, f"mari.{other}.wg") is None
        assert steps.resolves(mari, pair.name("ryo"))
        mari.run("inn", "uninstall", other, "--yes")
    finally:
        serving.terminate()
        steps.kill(coordinator, f"innerd serve {other}")
        coordinator.run("innerd", "uninstall", other, "--yes")
    assert device(coordinator, other) is None
    assert device(coordinator) is not None
