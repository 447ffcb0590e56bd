"""What must go on while something is killed, cut or edited by hand; and what must be put right by itself."""

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from innerd.wireguard.keys import generate, public_key
from tests.netns import steps
from tests.netns.conftest import Kermpany
from tests.netns.lab import Lab, wait_for
from tests.netns.steps import NETWORK

KILLS = 5


@pytest.fixture(scope="module")
def made(make_lab: Callable[[], Lab]) -> Kermpany:
    """A network of ryo (admin) and mari, who see each other."""
    made = Kermpany(make_lab(), 4)
    made.begin()
    made.join("ryo", "humans", "--admin", "true")
    made.join("mari", "humans")
    return made


@pytest.fixture
def pair(made: Kermpany) -> Iterator[Kermpany]:
    """The network as every test finds it, and leaves it: both agents connected, ryo and mari in reach."""
    yield made
    wait_for(lambda: streams(made) == 2, "both agents to be connected", 40)
    steps.reaches(made.hosts["mari"], made.name("ryo"), 30)


def streams(pair: Kermpany) -> int:
    return int(steps.asked(pair.coordinator, "innerd", "status", NETWORK)["streams"])


def test_every_acknowledged_change_survives_kills_of_the_coordinator(kermpany: Kermpany) -> None:
    seed = random.SystemRandom().randrange(10**6)
    moments = random.Random(seed)
    acknowledged = []
    for number in range(KILLS):
        running = {}
        for name in (f"a{number}", f"b{number}"):
            running[name] = kermpany.coordinator.start(
                *("innerd", "add-peer", NETWORK, "--name", name, "--cidr", "humans", "--auto-ip", "--admin", "false"),
                *("--invite-expires", "1d", "--save-config", f"/run/.lab/{name}.toml"),
            )
        time.sleep(moments.uniform(0.2, 0.6))  # the moment of the kill is the point, not something waited for
        steps.kill(kermpany.coordinator, "innerd serve")
        acknowledged += [name for name, process in running.items() if process.wait() == 0]
        steps.serve(kermpany.coordinator)
    added = {json.loads(e)["name"] for e in map(json.dumps, audit_data(kermpany, "peer.added"))}
    assert set(acknowledged) <= added, seed
    names = [peer["name"] for peer in steps.asked(kermpany.coordinator, "innerd", "list-peers", NETWORK)["peers"]]
    assert len(names) == len(set(names))


def audit_data(kermpany: Kermpany, type_: str) -> list[dict[str, object]]:
    events = json.loads(kermpany.innerd("audit", "--type", type_, "--json"))["events"]
    return [event["data"] for event in events]


def test_tunnels_and_names_outlive_the_coordinator_and_agents_come_back(pair: Kermpany) -> None:
    before = steps.revision(pair.coordinator)
    steps.kill(pair.coordinator, "innerd serve")
    steps.reaches(pair.hosts["mari"], pair.name("ryo"))
    done = pair.hosts["ryo"].ask("inn", "list-peers", NETWORK)
    assert (done.returncode, "api_unreachable" in done.stderr) == (5, True)
    steps.serve(pair.coordinator)
    assert steps.revision(pair.coordinator) == before


def test_an_agent_restarts_from_its_cache_without_the_coordinator(pair: Kermpany) -> None:
    mari = pair.hosts["mari"]
    pair.lab.unplug("coordinator")
    steps.kill(mari, "inn up")
    steps.kill(mari, "wireguard-go")
    mari.begin("inn", "up", "-d", NETWORK, log="/run/.lab/inn.log")
    key = steps.own_key(pair.hosts["ryo"])
    wait_for(lambda: key in steps.device_keys(mari), "mari's device to hold ryo again")
    assert steps.resolves(mari, pair.name("ryo"))
    shown = mari.run("inn", "show", NETWORK)
    assert "as of " in shown
    pair.lab.plug("coordinator")


def test_an_agent_killed_leaves_its_tunnel_and_a_new_one_takes_over(pair: Kermpany) -> None:
    mari = pair.hosts["mari"]
    steps.kill(mari, "inn up")
    steps.reaches(mari, pair.name("ryo"))
    pair.innerd("add-cidr", "--name", "bakers", "--cidr", "10.42.9.0/24", "--parent", NETWORK)
    steps.agent(mari)
    assert steps.status(mari)["revision"] == steps.revision(pair.coordinator)


def test_one_agent_an_interface(pair: Kermpany) -> None:
    done = pair.hosts["mari"].ask("inn", "up", "-d", NETWORK)
    assert done.returncode == 6
    assert "interface_busy" in done.stderr
    assert pair.hosts["mari"].run("inn", "up", NETWORK).startswith("kermpany is up at revision")


@pytest.mark.parametrize("where", ["mari", "coordinator"])
def test_a_dead_wireguard_daemon_is_replaced(pair: Kermpany, where: str) -> None:
    host = pair.hosts[where]
    steps.kill(host, "wireguard-go")
    wait_for(lambda: host.pids("wireguard-go"), f"a new daemon on {where}")
    steps.reaches(pair.hosts["mari"], "10.42.0.1", 40)


def test_a_device_edited_by_hand_is_put_right(pair: Kermpany) -> None:
    stranger = public_key(generate())
    ryo_key = steps.own_key(pair.hosts["ryo"])
    for host in (pair.coordinator, pair.hosts["mari"]):
        host.run("wg", "set", NETWORK, "peer", stranger, "allowed-ips", "10.42.77.7/32")
        host.run("wg", "set", NETWORK, "peer", ryo_key, "remove")
        wait_for(
            lambda host=host: stranger not in (keys := steps.device_keys(host)) and ryo_key in keys,
            f"{host.name}'s device to be put right",
        )
    assert f"peer {stranger} was added" in steps.said(pair.coordinator, "innerd.log")


def test_a_changed_key_for_a_pinned_address_is_never_applied(pair: Kermpany) -> None:
    """The coordinator's own log is changed behind its back, as one who took it over would."""
    mari, impostor = pair.hosts["mari"], public_key(generate())
    ryo_key = steps.own_key(pair.hosts["ryo"])
    pins_file = mari.path(f"/var/lib/inn/{NETWORK}/pins.json")
    pins = json.loads(pins_file.read_text())
    # What mari remembers of ryo is another key than the one that she is told from now on.
    steps.kill(mari, "inn up")
    pins["pins"]["keys"][steps.status(pair.hosts["ryo"])["ip"]] = impostor
    pins_file.write_text(json.dumps(pins))
    mari.begin("inn", "up", "-d", NETWORK, log="/run/.lab/inn.log")
    wait_for(lambda: mari.path(f"/run/inn/{NETWORK}.sock").exists(), "the agent's socket")
    wait_for(lambda: ryo_key not in steps.device_keys(mari), "ryo's key to be off the device")
    done = wait_for(lambda: d if (d := mari.ask("inn", "status", NETWORK)).returncode == 7 else None, "exit status 7")
    assert isinstance(done, subprocess.CompletedProcess)
    assert impostor in done.stdout
    assert ryo_key in done.stdout
    assert steps.resolves(mari, pair.name("ryo")) is None
    steps.reaches(mari, "10.42.0.1")
    # As it was: what she should remember.
    steps.kill(mari, "inn up")
    pins["pins"]["keys"][steps.status(pair.hosts["ryo"])["ip"]] = ryo_key
    pins_file.write_text(json.dumps(pins))
    steps.agent(mari)
    assert mari.ask("inn", "status", NETWORK).returncode == 0


def test_down_takes_interface_and_names_away_and_up_brings_them_back(pair: Kermpany) -> None:
    mari = pair.hosts["mari"]
    mari.run("inn", "down", NETWORK)
    assert mari.ask("ip", "link", "show", NETWORK).returncode != 0
    assert steps.resolves(mari, pair.name("ryo")) is None
    wait_for(lambda: not mari.pids("inn up"), "the agent to end")
    mari.run("inn", "up", NETWORK)
    assert steps.resolves(mari, pair.name("ryo"))
    steps.reaches(mari, pair.name("ryo"), 30)
    steps.agent(mari)


def test_serve_stops_cleanly_and_the_tunnel_stays(pair: Kermpany) -> None:
    began = time.monotonic()
    steps.kill(pair.coordinator, "innerd serve", signal.SIGTERM)
    assert time.monotonic() - began < 5
    assert not pair.coordinator.path(f"/run/innerd/{NETWORK}.sock").exists()
    log = steps.said(pair.coordinator, "innerd.log")
    assert "Traceback" not in log, log
    assert steps.pings(pair.hosts["mari"], "10.42.0.1")
    wait_for(lambda: "shutting_down" in steps.said(pair.hosts["mari"], "inn.log"), "mari to hear why")
    steps.serve(pair.coordinator)
