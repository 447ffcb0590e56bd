"""Changes on their way to agents: proven on the devices when `--wait` returns, and told in the end whatever is cut,
killed or moved meanwhile."""

import secrets
import time
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from innclient.agent import asking
from innerd.domain.values import PublicKey
from innerd.wire import proof
from innerd.wireguard.keys import shared_secret
from tests.netns import steps
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host, Lab, wait_for
from tests.netns.steps import NETWORK

PORT = "51820"
ROUNDS = 5
CUTS = {
    "tcp": (f"tcp dport {PORT}", f"tcp sport {PORT}"),
    "udp": (f"ip daddr 10.99.0.1 udp dport {PORT}", f"ip saddr 10.99.0.1 udp sport {PORT}"),
}


@pytest.fixture(scope="module")
def made(make_lab: Callable[[], Lab]) -> Kermpany:
    """A network of ryo (admin), mari and kiln, who see each other."""
    made = Kermpany(make_lab(), 4)
    made.begin()
    made.join("ryo", "humans", "--admin", "true")
    made.join("mari", "humans")
    made.join("kiln", "humans")
    return made


@pytest.fixture
def trio(made: Kermpany) -> Iterator[Kermpany]:
    """The network as every test finds it, and leaves it: all agents connected, with the newest revision."""
    yield made
    innerd_runs(made)
    made.innerd("enable-peer", "--name", "kiln")
    wait_for(lambda: streams(made) == 3, "all agents to be connected", 60)
    steps.converged(made.coordinator)
    wait_for(lambda: holds(made, "mari", "kiln") and holds(made, "kiln", "mari"), "kiln to be back")
    steps.reaches(made.hosts["mari"], made.name("ryo"), 30)


def innerd_runs(made: Kermpany) -> None:
    if not made.coordinator.pids("innerd serve"):
        steps.serve(made.coordinator)


def streams(made: Kermpany) -> int:
    return int(steps.asked(made.coordinator, "innerd", "status", NETWORK)["streams"])


def holds(made: Kermpany, host: str, other: str) -> bool:
    """Whether a host's device holds the key of another peer now."""
    return steps.own_key(made.hosts[other]) in steps.device_keys(made.hosts[host])


def asked_agent(host: Host, verb: str) -> dict[str, Any]:
    """What an agent says through its socket; asked from here, as that is cheaper to repeat than a command."""
    found = asking.ask(host.path(f"/run/inn/{NETWORK}.sock"), verb, dict[str, Any])
    assert found is not None
    return found


def is_connected(host: Host) -> bool:
    return bool(asked_agent(host, "status")["is_connected"])


def knows_cidr(host: Host, name: str) -> bool:
    return name in {cidr["name"] for cidr in asked_agent(host, "show")["cidrs"]}


def hears_of(host: Host, cidr: str, seconds: float = 20) -> None:
    wait_for(lambda: knows_cidr(host, cidr), f"{host.name} to hear of {cidr}", seconds)


def goes_to(host: Host, key: str, place: str) -> None:
    """Wait until a host's device reaches a peer at a place."""
    wait_for(lambda: endpoint(host, key) == place, f"{host.name} to go to {place}")


def add_cidr(made: Kermpany, name: str, number: int) -> None:
    made.innerd("add-cidr", "--name", name, "--cidr", f"10.42.{number}.0/24", "--parent", NETWORK)


def cut(host: Host, what: str) -> None:
    """Drop what passes between a host and the coordinator, in silence: no FIN, no RST, no ICMP."""
    host.run("nft", "add table ip cut")
    for hook, match in zip(("output", "input"), CUTS[what], strict=True):
        host.run("nft", f"add chain ip cut {hook} {{ type filter hook {hook} priority 0; }}")
        host.run("nft", f"add rule ip cut {hook} {match} drop")


def mend(host: Host) -> None:
    host.run("nft", "delete table ip cut")


def disable(by: Host, program: str, *flags: str) -> dict[str, Any]:
    """`disable-peer` of kiln, and what its --wait says."""
    wait = flags or ("--wait",)
    return dict(steps.asked(by, program, "disable-peer", NETWORK, "--name", "kiln", "--yes", *wait)["wait"])


@pytest.mark.parametrize("program", ["inn", "innerd"])
def test_a_disabled_peer_is_off_all_devices_when_wait_returns(trio: Kermpany, program: str) -> None:
    by = {"inn": trio.hosts["ryo"], "innerd": trio.coordinator}[program]
    others = [trio.coordinator, trio.hosts["ryo"], trio.hosts["mari"]]
    key = steps.own_key(trio.hosts["kiln"])
    for _ in range(ROUNDS):
        outcome = disable(by, program)
        held = [host.name for host in others if key in steps.device_keys(host)]
        assert held == []
        assert outcome["applied"] >= 1
        assert (outcome["missing"], outcome["refused"], outcome["polling"]) == ([], [], [])
        print(f"{program}: {outcome}")
        enabled = by.run(program, "enable-peer", NETWORK, "--name", "kiln", "--wait")
        held = [host.name for host in others if key in steps.device_keys(host)]
        assert len(held) == 3
        assert "connected peers have it, after" in enabled


def test_wait_names_who_is_offline_and_succeeds(trio: Kermpany) -> None:
    mari, key = trio.hosts["mari"], steps.own_key(trio.hosts["kiln"])
    steps.kill(mari, "inn up")
    outcome = disable(trio.hosts["ryo"], "inn")
    assert outcome["offline"] == ["mari"]
    assert outcome["missing"] == []
    assert key not in steps.device_keys(trio.hosts["ryo"])
    steps.agent(mari)
    wait_for(lambda: key not in steps.device_keys(mari), "mari's device to let go of kiln")


def test_wait_fails_and_names_who_is_connected_but_says_nothing(trio: Kermpany) -> None:
    mari = trio.hosts["mari"]
    steps.kill(mari, "inn up")
    steps.agent(mari)
    pids = [str(pid) for pid in mari.pids("inn up")]
    mari.run("kill", "-STOP", *pids)
    command = ("innerd", "disable-peer", NETWORK, "--name", "kiln", "--yes", "--wait=2")
    done = trio.coordinator.ask(*command)
    mari.run("kill", "-CONT", *pids)
    assert (done.returncode, "mari [not_converged]" in done.stderr) == (5, True), done.stdout + done.stderr
    done = trio.coordinator.ask(*command)
    assert done.returncode == 0, done.stderr
    assert not holds(trio, "mari", "kiln")


@pytest.mark.parametrize("what", CUTS)
def test_a_stream_cut_in_silence_is_noticed_and_goes_on(trio: Kermpany, what: str) -> None:
    mari = trio.hosts["mari"]
    cut(mari, what)
    began = time.monotonic()
    try:
        add_cidr(trio, f"cut-{what}", 20 if what == "tcp" else 21)
        outcome = disable(trio.coordinator, "innerd", "--wait=60")
        wait_for(lambda: not is_connected(mari), "mari to notice", 60)
        print(f"{what}: noticed after {time.monotonic() - began:.1f} s; {outcome}")
        assert "mari" in outcome["offline"]
        assert steps.pings(mari, trio.name("ryo"))
        assert holds(trio, "mari", "kiln")
    finally:
        mend(mari)
    began = time.monotonic()
    wait_for(lambda: is_connected(mari), "mari to be connected", 60)
    wait_for(lambda: knows_cidr(mari, f"cut-{what}") and not holds(trio, "mari", "kiln"), "what mari missed")
    print(f"{what}: caught up {time.monotonic() - began:.1f} s after the path was back")


def test_agents_resume_at_their_cursors_when_the_coordinator_was_killed(trio: Kermpany) -> None:
    mari = trio.hosts["mari"]
    add_cidr(trio, "before-kill", 30)
    steps.converged(trio.coordinator)
    before = steps.status(mari)
    last = steps.asked(mari, "inn", "events", NETWORK)["events"][-1]["seq"]
    steps.kill(trio.coordinator, "innerd serve")
    wait_for(lambda: not is_connected(mari), "mari to notice", 60)
    steps.serve(trio.coordinator)
    began = time.monotonic()
    wait_for(lambda: is_connected(mari), "mari to be connected", 60)
    print(f"connected {time.monotonic() - began:.1f} s after the coordinator was back")
    after = steps.status(mari)
    assert (after["revision"], after["head"]) == (before["revision"], before["head"])
    types = [event["type"] for event in steps.asked(mari, "inn", "events", NETWORK)["events"] if event["seq"] > last]
    assert types == ["coordinator.lost", "coordinator.connected"]
    opening = raw_opening(trio, mari, f"{after['generation']}.{after['revision']}")
    assert ("event: hello" in opening, "event: snapshot" in opening) == (True, False)
    add_cidr(trio, "after-kill", 31)
    hears_of(mari, "after-kill", 30)


def raw_opening(trio: Kermpany, host: Host, cursor: str) -> str:
    """What the coordinator answers to a cursor. The agent's own stream is replaced by it, and comes back."""
    where, target = f"10.42.0.1:{PORT}", "/v1/user/events"
    server_key = steps.own_key_of_coordinator(trio.coordinator)
    private_key = tomllib.loads(host.run("cat", f"/etc/inn/{NETWORK}.toml"))["interface"]["private-key"]
    network_id = steps.asked(trio.coordinator, "innerd", "status", NETWORK)["id"]
    secret = proof.derive_key(shared_secret(private_key, PublicKey(server_key)), network_id)
    proved = proof.prove(
        secret, proof.Request(method="GET", target=target, host=where), int(time.time()), secrets.token_hex(12)
    )
    fields = {"X-Innernet-Server-Key": server_key, proof.HEADER: proved, "Last-Event-ID": cursor}
    headers = [part for name, value in fields.items() for part in ("-H", f"{name}: {value}")]
    return host.run("curl", "-sN", "--max-time", "2", *headers, f"http://{where}{target}", status=None)


def test_the_coordinator_moves_to_another_address(trio: Kermpany) -> None:
    coordinator, there = trio.coordinator, "10.99.0.200"
    key = steps.own_key_of_coordinator(coordinator)
    coordinator.run("sysctl", "-qw", "net.ipv4.conf.eth0.promote_secondaries=1")
    coordinator.run("ip", "addr", "add", f"{there}/24", "dev", "eth0")
    told = steps.asked(coordinator, "innerd", "set-endpoint", NETWORK, f"{there}:{PORT}", "--wait")
    assert told["endpoint"] == f"{there}:{PORT}"
    assert told["wait"]["applied"] == 3
    coordinator.run("ip", "addr", "del", f"{coordinator.address}/24", "dev", "eth0")
    began = time.monotonic()
    for name in ("ryo", "mari", "kiln"):
        goes_to(trio.hosts[name], key, f"{there}:{PORT}")
    add_cidr(trio, "moved", 40)
    for name in ("ryo", "mari", "kiln"):
        hears_of(trio.hosts[name], "moved", 60)
        assert is_connected(trio.hosts[name])
    print(f"all agents hear a change {time.monotonic() - began:.1f} s after the old address is gone")
    # Who starts anew goes there too, with a device that is new.
    steps.kill(trio.hosts["kiln"], "inn up")
    steps.kill(trio.hosts["kiln"], "wireguard-go")
    steps.agent(trio.hosts["kiln"])
    # And back.
    coordinator.run("ip", "addr", "add", f"{coordinator.address}/24", "dev", "eth0")
    trio.innerd("set-endpoint", f"{coordinator.address}:{PORT}", "--wait")
    coordinator.run("ip", "addr", "del", f"{there}/24", "dev", "eth0")


def endpoint(host: Host, key: str) -> str | None:
    """Where a host's device reaches a peer."""
    lines = dict(line.split() for line in host.run("wg", "show", NETWORK, "endpoints").splitlines())
    return lines.get(key)


def test_a_new_address_under_the_tunnel(trio: Kermpany) -> None:
    mari = trio.hosts["mari"]
    for old, new in ((mari.address, "10.99.0.77"), ("10.99.0.77", mari.address)):
        mari.run("sh", "-c", f"ip addr del {old}/24 dev eth0 && ip addr add {new}/24 dev eth0")
        began = time.monotonic()
        name = f"roamed-{new.rpartition('.')[2]}"
        add_cidr(trio, name, 50 + (new == mari.address))
        hears_of(mari, name, 10)
        heard = time.monotonic() - began
        wait_for(lambda: is_connected(mari), "mari to be connected", 10)
        print(f"a change is heard {heard:.2f} s, connected {time.monotonic() - began:.2f} s after a new address")
        steps.reaches(mari, trio.name("ryo"), 40)
        print(f"mari reaches ryo {time.monotonic() - began:.2f} s after")
        wait_for(lambda: steps.pings(trio.hosts["ryo"], trio.name("mari")), "ryo to reach mari", 40)
        print(f"ryo reaches mari {time.monotonic() - began:.2f} s after")
