"""The verbs about where things are reached take effect at once, on a tunnel that carries a ping all the while: the port
of this machine, the endpoint of a peer as seen from here, and this machine's own as all others are told it."""

import contextlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.netns import steps
from tests.netns.ailments import MARI, squatter
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host, Lab, wait_for
from tests.netns.pinging import Pinging, awaited_anew, device, index, pinging
from tests.netns.steps import NETWORK

pytestmark = pytest.mark.slow  # minutes, most of which are waits for WireGuard's own timers

CONFIG = f"/etc/inn/{NETWORK}.toml"
PORT = ("inn", "set-listen-port", NETWORK)
PEER = ("inn", "override-peer-endpoint", NETWORK)
OWN = ("inn", "override-endpoint", NETWORK)


@pytest.fixture(scope="module")
def made(make_lab: Callable[[], Lab]) -> Kermpany:
    """A network of ryo and mari, who see each other."""
    made = Kermpany(make_lab(), 4)
    made.begin()
    made.join("ryo", "humans")
    made.join(MARI, "humans")
    return made


@pytest.fixture
def pair(made: Kermpany) -> Iterator[Kermpany]:
    """The network as every test finds it, and leaves it: both agents connected, ryo and mari in reach, nothing set."""
    yield made
    mari = made.hosts[MARI]
    if not mari.pids("inn up"):
        steps.agent(mari)
    wait_for(lambda: steps.asked(made.coordinator, "innerd", "status", NETWORK)["streams"] == 2, "both agents", 60)
    for verb in (OWN, PORT, (*PEER, "--name", "ryo")):
        mari.run(*verb, "--unset", "--yes")
    steps.reaches(mari, made.name("ryo"), 40)


@pytest.fixture(params=[True, False], ids=["with the agent", "without an agent"])
def has_agent(request: pytest.FixtureRequest, pair: Kermpany) -> bool:
    """Whether mari's agent runs; her interface is up all the same."""
    if not request.param:
        steps.kill(pair.hosts[MARI], "inn up")
    return bool(request.param)


@pytest.fixture
def ping(pair: Kermpany) -> Iterator[Pinging]:
    """From ryo to mari, ten a second; and it must lose nothing, or what is under way at that moment."""
    mari = pair.hosts[MARI]
    number = index(mari)
    with pinging(pair.hosts["ryo"], steps.status(mari)["ip"]) as made:
        yield made
        made.goes_on()
        assert len(made.lost()) <= 2, made.lost()
    assert index(mari) == number


def port(host: Host) -> int:
    found = device(host)
    assert found is not None
    return int(found["port"])


def endpoint(host: Host, of: Host) -> str:
    """Where a host's device has another one."""
    lines = host.run("wg", "show", NETWORK, "endpoints").splitlines()
    return dict(line.split("\t") for line in lines)[steps.own_key(of)]


def is_at(host: Host, of: Host, where: str) -> bool:
    return endpoint(host, of) == where


def settled(host: Host, *command: str) -> Any:
    return json.loads(host.run(*command, "--yes", "--json"))


def refused(host: Host, status: int, says: str, *command: str) -> None:
    done = host.ask(*command)
    assert (done.returncode, says in done.stderr) == (status, True), done.stderr
    assert "Traceback" not in done.stderr


# -- set-listen-port --------------------------------------------------------------------------------------------------


def test_another_port_is_listened_on_at_once(pair: Kermpany, has_agent: bool, ping: Pinging) -> None:
    mari, ryo = pair.hosts[MARI], pair.hosts["ryo"]
    assert settled(mari, *PORT, "--listen-port", "52001") == {"listen_port": 52001}
    assert port(mari) == 52001
    assert "listen-port = 52001" in mari.path(CONFIG).read_text()
    ping.goes_on()
    wait_for(lambda: endpoint(ryo, mari).endswith(":52001"), "ryo to find mari there", 40)
    assert "already" in mari.run(*PORT, "--listen-port", "52001", "--yes")
    assert settled(mari, *PORT, "--unset") == {"listen_port": None}
    assert "listen-port" not in mari.path(CONFIG).read_text()
    assert "no port of its own already" in mari.run(*PORT, "--unset", "--yes")
    assert steps.status(mari)["has_agent"] == has_agent


def test_a_port_that_is_taken_changes_nothing(pair: Kermpany, has_agent: bool, ping: Pinging) -> None:
    mari = pair.hosts[MARI]
    mari.run(*PORT, "--listen-port", "52002", "--yes")
    before, was = device(mari), mari.path(CONFIG).read_bytes()
    with squatter(MARI, "udp", 52003)(pair):
        done = mari.ask(*PORT, "--listen-port", "52003", "--yes")
    assert (done.returncode, "[port_in_use]" in done.stderr) == (6, True), done.stderr
    assert "in use by squatter (pid " in done.stderr
    assert (device(mari), mari.path(CONFIG).read_bytes()) == (before, was)
    mari.run(*PORT, "--listen-port", "52003", "--yes")  # and when it is free, it is had
    assert port(mari) == 52003
    assert steps.status(mari)["has_agent"] == has_agent


def test_several_ports_one_after_the_other(pair: Kermpany, ping: Pinging) -> None:
    mari = pair.hosts[MARI]
    for number in (52004, 52005, 52006, 52007):
        mari.run(*PORT, "--listen-port", str(number), "--yes")
        assert port(mari) == number
        ping.goes_on()


def test_while_it_is_down_the_port_is_for_the_next_start(pair: Kermpany) -> None:
    mari = pair.hosts[MARI]
    mari.run("inn", "down", NETWORK)
    wait_for(lambda: not mari.pids("inn up"), "the agent to end")
    assert settled(mari, *PORT, "--listen-port", "52008") == {"listen_port": 52008}
    assert device(mari) is None
    steps.agent(mari)
    assert port(mari) == 52008


def test_the_next_agent_has_the_port_too(pair: Kermpany) -> None:
    mari = pair.hosts[MARI]
    mari.run(*PORT, "--listen-port", "52009", "--yes")
    steps.kill(mari, "inn up")
    steps.kill(mari, "wireguard-go")
    steps.agent(mari)
    assert port(mari) == 52009


def test_after_another_port_nobody_finds_a_way_to_the_one_before(pair: Kermpany) -> None:
    """A way that leads to a port where nobody listens is set on the other's device, in the middle of a conversation."""
    mari, ryo = pair.hosts[MARI], pair.hosts["ryo"]
    steps.kill(mari, "inn up")
    steps.agent(mari)
    old = port(mari)
    log = len(steps.said(ryo, "inn.log"))
    mari.run(*PORT, "--listen-port", "52010", "--yes")
    for _ in range(8):
        number = index(mari)
        mari.run("ip", "link", "del", NETWORK)
        awaited_anew(mari, number)
        steps.reaches(ryo, pair.name(MARI), 60)
        steps.reaches(mari, pair.name("ryo"), 60)
        found = [line for line in steps.said(ryo, "inn.log")[log:].splitlines() if "a way was found" in line]
        assert not [line for line in found if line.endswith(f":{old}")], found


# -- override-peer-endpoint -------------------------------------------------------------------------------------------


def test_a_peer_is_reached_where_this_machine_says(pair: Kermpany, has_agent: bool, ping: Pinging) -> None:
    mari, ryo = pair.hosts[MARI], pair.hosts["ryo"]
    address, number = steps.status(ryo)["ip"], port(ryo)
    for where in (f"[{ryo.address6}]:{number}", f"{ryo.address}:{number}"):
        content = settled(mari, *PEER, "--name", "ryo", "--endpoint", where)
        assert content == {"name": "ryo", "ip": address, "endpoint": where}
        assert f'"{address}" = "{where}"' in mari.path(CONFIG).read_text()
        if has_agent:  # a packet that ryo sent meanwhile has the last word, until the agent looks again
            wait_for(partial(is_at, mari, ryo, where), f"mari to have ryo at {where}", 8)
        ping.goes_on()
    content = settled(mari, *PEER, "--name", "ryo", "--unset")
    assert content == {"name": "ryo", "ip": address, "endpoint": None}
    assert "peer-endpoint-overrides" not in mari.path(CONFIG).read_text()
    assert settled(mari, *PEER, "--name", "ryo", "--unset") == content
    assert steps.status(mari)["has_agent"] == has_agent


def test_an_override_that_leads_nowhere_is_taken_back(pair: Kermpany) -> None:
    mari, ryo = pair.hosts[MARI], pair.hosts["ryo"]
    mari.run(*PEER, "--name", "ryo", "--endpoint", "10.99.0.99:5", "--yes")
    assert endpoint(mari, ryo) == "10.99.0.99:5"
    mari.run(*PEER, "--name", "ryo", "--unset", "--yes")
    steps.reaches(mari, pair.name("ryo"), 60)


def test_while_it_is_down_the_override_is_for_the_next_start(pair: Kermpany) -> None:
    mari, ryo = pair.hosts[MARI], pair.hosts["ryo"]
    where = f"[{ryo.address6}]:{port(ryo)}"
    mari.run("inn", "down", NETWORK)
    wait_for(lambda: not mari.pids("inn up"), "the agent to end")
    mari.run(*PEER, "--name", "ryo", "--endpoint", where, "--yes")
    assert device(mari) is None
    steps.agent(mari)
    assert endpoint(mari, ryo) == where


def test_what_can_be_no_override_is_refused(pair: Kermpany, ping: Pinging) -> None:
    mari = pair.hosts[MARI]
    before, was = device(mari), mari.path(CONFIG).read_bytes()
    where = ("--endpoint", "10.99.0.1:5")
    refused(mari, 4, "[peer_not_found]", *PEER, "--name", "nobody", *where, "--yes")
    refused(mari, 4, "[peer_not_found]", *PEER, "--name", MARI, *where, "--yes")
    refused(mari, 2, "[invalid_endpoint]", *PEER, "--name", "ryo", "--endpoint", "nonsense", "--yes")
    refused(mari, 2, "port 0", *PEER, "--name", "ryo", "--endpoint", "10.99.0.2:0", "--yes")
    refused(mari, 2, "exclude each other", *PEER, "--name", "ryo", *where, "--unset", "--yes")
    refused(mari, 2, "--name", *PEER, *where, "--yes")
    refused(mari, 2, "--endpoint or --unset", *PEER, "--name", "ryo", "--yes")
    refused(mari, 2, "--yes", *PEER, "--name", "ryo", *where)
    assert (device(mari), mari.path(CONFIG).read_bytes()) == (before, was)


# -- override-endpoint ------------------------------------------------------------------------------------------------


def told(host: Host, name: str = MARI) -> list[str]:
    """What a peer's journal says of where another is reached."""
    events = steps.asked(host, "inn", "events", NETWORK)["events"]
    return [event["text"] for event in events if event["type"] == "peer.endpoint" and name in event["text"]]


def listed(pair: Kermpany, what: str = "endpoint") -> Any:
    """What the coordinator says of mari."""
    peers = steps.asked(pair.coordinator, "innerd", "list-peers", NETWORK)["peers"]
    return next(peer[what] for peer in peers if peer["name"] == MARI)


def test_all_others_are_told_where_this_machine_is(pair: Kermpany, ping: Pinging) -> None:
    mari, ryo = pair.hosts[MARI], pair.hosts["ryo"]
    mari.run(*PORT, "--listen-port", "52020", "--yes")
    where = f"[{mari.address6}]:52020"
    content = settled(mari, *OWN, "--endpoint", where)
    assert (content["endpoint"], content["revision"]) == (where, steps.revision(pair.coordinator))
    assert listed(pair) == where
    wait_for(lambda: told(ryo)[-1:] == [f"mari is reached at {where}"], "ryo to be told", 5)
    ping.goes_on()
    content = settled(mari, *OWN, "--unset")
    assert content["endpoint"] is None
    assert listed(pair) is None
    wait_for(lambda: told(ryo)[-1:] == ["mari has no overridden endpoint any more"], "ryo to be told", 5)


@contextlib.contextmanager
def begun_anew(host: Host, *, remembers: bool) -> Iterator[None]:
    """A peer that makes its interface anew without an agent: nobody looks for ways, so it is what it was told."""
    host.run("inn", "down", NETWORK)
    wait_for(lambda: not host.pids("inn up"), "the agent to end")
    if not remembers:
        host.run("rm", f"/var/lib/inn/{NETWORK}/last.json")
    host.run("inn", "up", NETWORK)
    try:
        yield
    finally:
        steps.agent(host)


def test_who_begins_anew_comes_to_the_endpoint_that_was_said(pair: Kermpany) -> None:
    mari, ryo = pair.hosts[MARI], pair.hosts["ryo"]
    mari.run(*PORT, "--listen-port", "52021", "--yes")
    where = f"[{mari.address6}]:52021"
    mari.run(*OWN, "--endpoint", where, "--yes")
    with begun_anew(ryo, remembers=False):
        assert endpoint(ryo, mari) == where
        steps.reaches(ryo, pair.name(MARI), 30)


def test_what_was_said_counts_more_than_what_is_remembered(pair: Kermpany) -> None:
    mari, ryo = pair.hosts[MARI], pair.hosts["ryo"]
    mari.run(*PORT, "--listen-port", "52023", "--yes")
    seen = f"{mari.address}:52023"
    ryo.run("inn", "override-peer-endpoint", NETWORK, "--name", MARI, "--endpoint", seen, "--yes")
    ryo.run("inn", "override-peer-endpoint", NETWORK, "--name", MARI, "--unset", "--yes")
    wait_for(lambda: seen in ryo.path(f"/var/lib/inn/{NETWORK}/last.json").read_text(), "ryo to remember it", 20)
    wait_for(lambda: listed(pair, "learned_endpoint") == seen, "the coordinator to have learned it", 40)
    where = f"[{mari.address6}]:52023"
    mari.run(*OWN, "--endpoint", where, "--yes")
    with begun_anew(ryo, remembers=True):
        assert endpoint(ryo, mari) == where


def test_of_the_address_that_is_seen_only_the_port_is_overridden(pair: Kermpany) -> None:
    mari, ryo = pair.hosts[MARI], pair.hosts["ryo"]
    mari.run(*PORT, "--listen-port", "52022", "--yes")
    assert settled(mari, *OWN, "--endpoint", "0.0.0.0:52022")["endpoint"] == "0.0.0.0:52022"
    with begun_anew(ryo, remembers=False):
        assert endpoint(ryo, mari) == f"{mari.address}:52022"
        steps.reaches(ryo, pair.name(MARI), 30)


def test_an_endpoint_of_its_own_needs_a_port_of_its_own(pair: Kermpany) -> None:
    mari = pair.hosts[MARI]
    refused(mari, 3, "[no_listen_port]", *OWN, "--endpoint", "0.0.0.0:52023", "--yes")
    assert "inn set-listen-port" in mari.ask(*OWN, "--endpoint", "0.0.0.0:52023", "--yes").stderr
    assert settled(mari, *OWN, "--unset")["endpoint"] is None  # that needs none


def test_what_can_be_no_endpoint_is_refused(pair: Kermpany, ping: Pinging) -> None:
    mari = pair.hosts[MARI]
    mari.run(*PORT, "--listen-port", "52024", "--yes")
    before = listed(pair)
    refused(mari, 2, "[invalid_endpoint]", *OWN, "--endpoint", "nonsense", "--yes")
    refused(mari, 2, "exclude each other", *OWN, "--endpoint", "1.2.3.4:5", "--unset", "--yes")
    refused(mari, 2, "--endpoint or --unset", *OWN, "--yes")
    refused(mari, 2, "--yes", *OWN, "--endpoint", "1.2.3.4:5")
    assert listed(pair) == before


def test_what_can_be_no_port_is_refused(pair: Kermpany, ping: Pinging) -> None:
    mari = pair.hosts[MARI]
    before, was = device(mari), mari.path(CONFIG).read_bytes()
    for number in ("0", "65536", "-1", "x"):
        refused(mari, 2, "--listen-port", *PORT, "--listen-port", number, "--yes")
    refused(mari, 2, "exclude each other", *PORT, "--listen-port", "52025", "--unset", "--yes")
    refused(mari, 2, "--listen-port or --unset", *PORT, "--yes")
    refused(mari, 2, "--yes", *PORT, "--listen-port", "52025")
    refused(mari, 4, "[network_not_found]", "inn", "set-listen-port", "nonesuch", "--listen-port", "52025", "--yes")
    as_nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    refused(mari, 6, "[not_root]", *as_nobody, *PORT, "--listen-port", "52025", "--yes")
    assert (device(mari), mari.path(CONFIG).read_bytes()) == (before, was)


def test_who_disables_itself_is_told_the_truth_then_and_later(kermpany: Kermpany) -> None:
    cook = kermpany.join("cook", "humans", "--admin", "true")
    done = cook.ask("inn", "disable-peer", NETWORK, "--name", "cook", "--yes")
    assert (done.returncode, done.stdout) == (0, 'Peer "cook" is disabled.\n'), done
    assert "is this machine" in done.stderr
    out = "was disabled by an administrator"
    status = cook.ask("inn", "status", NETWORK)
    assert (status.returncode, out in status.stdout) == (3, True), status
    refused = cook.ask("inn", "list-peers", NETWORK)
    assert (refused.returncode, out in refused.stderr, "[stream_ended]" in refused.stderr) == (3, True, True), refused
    found = json.loads(cook.ask("inn", "doctor", NETWORK, "--json").stdout)["checks"]
    (coordinator,) = (check for check in found if check["check"] == "coordinator")
    assert (coordinator["state"], out in coordinator["text"], coordinator["status"]) == ("failed", True, 3)
    assert "firewall" not in coordinator["text"]
    steps.kill(cook, "inn up")
    status = cook.ask("inn", "status", NETWORK)  # of the files
    assert (status.returncode, out in status.stdout) == (3, True), status
    once = cook.ask("inn", "up", NETWORK)
    assert (once.returncode, out in once.stderr) == (3, True), once
    cook.begin("inn", "up", "-d", NETWORK, log="/run/.lab/inn.log")
    wait_for(lambda: steps.status(cook)["has_agent"], "the agent to answer")
    for verb in ("status", "fetch"):
        done = cook.ask("inn", verb, NETWORK)
        assert (done.returncode, out in done.stdout + done.stderr) == (3, True), done
    kermpany.innerd("enable-peer", "--name", "cook")
    wait_for(lambda: cook.ask("inn", "status", NETWORK).returncode == 0, "cook to be let in again", 60)
