"""An agent among the accidents of its host: killed, its disk full or read-only, started twice, asked by everybody."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.netns import steps
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host, Lab, wait_for
from tests.netns.loaded import Begun
from tests.netns.steps import NETWORK

DATA = f"/var/lib/inn/{NETWORK}"
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
SPOIL = {
    "full": (
        f"cp -a {DATA}/. /run/.lab/copy && mount -t tmpfs -o size=64k,mode=700 tmpfs {DATA}"
        f" && cp -a /run/.lab/copy/. {DATA}; dd if=/dev/zero of={DATA}/big bs=1k; rm -rf /run/.lab/copy"
    ),
    "read-only": f"mount --bind {DATA} {DATA} && mount -o remount,bind,ro {DATA}",
}


@pytest.fixture(scope="module")
def made(make_lab: Callable[[], Lab]) -> Kermpany:
    """A network of ryo (admin), mari and kiln, who see each other; kiln's agent does not run."""
    made = Kermpany(make_lab(), 4)
    made.begin()
    made.join("ryo", "humans", "--admin", "true")
    made.join("mari", "humans")
    steps.kill(made.join("kiln", "humans"), "inn up")
    return made


@pytest.fixture
def pair(made: Kermpany) -> Iterator[Kermpany]:
    """The network as every test finds it, and leaves it: both agents connected, ryo and mari in reach."""
    yield made
    if not made.coordinator.pids("innerd serve"):
        steps.serve(made.coordinator)
    made.innerd("enable-peer", "--name", "kiln")
    wait_for(lambda: steps.asked(made.coordinator, "innerd", "status", NETWORK)["streams"] == 2, "both agents", 60)
    steps.converged(made.coordinator)
    wait_for(lambda: kiln_key(made) in steps.device_keys(made.hosts["mari"]), "mari's device to hold kiln")
    steps.reaches(made.hosts["mari"], made.name("ryo"), 30)


def kiln_key(made: Kermpany) -> str:
    peers = steps.asked(made.coordinator, "innerd", "list-peers", NETWORK)["peers"]
    return next(str(peer["public_key"]) for peer in peers if peer["name"] == "kiln")


def start(host: Host) -> Begun:
    """An agent that need not hear the coordinator; return when it answers."""
    process = host.begin("inn", "up", "-d", NETWORK, log="/run/.lab/inn.log")
    wait_for(lambda: steps.status(host)["has_agent"], "the agent to answer")
    return process


def stop_coordinator(made: Kermpany) -> None:
    steps.kill(made.coordinator, "innerd serve")
    steps.kill(made.coordinator, "wireguard-go")


def disk_error(host: Host) -> str | None:
    error = steps.status(host)["disk_error"]
    return None if error is None else str(error)


def test_an_agent_killed_starts_from_disk_without_the_coordinator(pair: Kermpany) -> None:
    mari, ryo, key = pair.hosts["mari"], pair.hosts["ryo"], kiln_key(pair)
    steps.kill(mari, "inn up")
    pair.innerd("disable-peer", "--name", "kiln", "--yes")
    stop_coordinator(pair)
    start(mari)
    status = steps.status(mari)
    assert (status["is_up"], status["is_connected"]) == (True, False)
    assert {steps.own_key(ryo), key} <= steps.device_keys(mari)
    assert steps.resolves(mari, pair.name("ryo"))
    assert steps.pings(ryo, pair.name("mari"))
    assert steps.pings(mari, pair.name("ryo"))
    steps.serve(pair.coordinator)
    wait_for(lambda: key not in steps.device_keys(mari), "mari to catch up", 60)
    assert steps.status(mari)["is_connected"]


def test_a_host_that_lost_its_power_is_reached_at_its_port_without_the_coordinator(pair: Kermpany) -> None:
    mari, ryo = pair.hosts["mari"], pair.hosts["ryo"]
    config = mari.path(f"/etc/inn/{NETWORK}.toml")
    config.write_text(config.read_text().replace("[interface]", "[interface]\nlisten-port = 51820"))
    steps.kill(mari, "inn up")
    steps.agent(mari)
    steps.reaches(ryo, pair.name("mari"), 60)
    stop_coordinator(pair)
    steps.kill(mari, "inn up")
    steps.kill(mari, "wireguard-go")
    began = time.monotonic()
    start(mari)
    steps.reaches(ryo, pair.name("mari"), 60)
    steps.reaches(mari, pair.name("ryo"))
    print(f"ryo and mari reach each other {time.monotonic() - began:.1f} s after the start")
    assert not steps.status(mari)["is_connected"]


def changes_unpromised(pair: Kermpany, verb: str, *flags: str) -> None:
    """Change kiln: mari's device follows, but her receipt would not outlive a crash, so there is none."""
    done = pair.coordinator.ask("innerd", verb, NETWORK, "--name", "kiln", "--wait=2", *flags)
    assert (done.returncode, "mari [not_converged]" in done.stderr) == (5, True), done.stderr


@pytest.mark.parametrize("how", SPOIL)
def test_a_disk_that_takes_nothing_stops_no_change(pair: Kermpany, how: str) -> None:
    mari, key = pair.hosts["mari"], kiln_key(pair)
    mari.run("mkdir", "-p", "/run/.lab/copy")
    mari.run("sh", "-c", SPOIL[how], status=None)
    try:
        assert mari.ask("touch", f"{DATA}/a").returncode == 0 or how == "read-only"
        changes_unpromised(pair, "disable-peer", "--yes")
        assert key not in steps.device_keys(mari)
        error = wait_for(lambda: disk_error(mari), "the status to say so")
        print(f"{how}: {error}")
        assert DATA in error
        assert f"DISK: {error}" in mari.run("inn", "status", NETWORK)
        events = steps.asked(mari, "inn", "events", NETWORK)["events"]
        assert (events[-1]["type"], "kiln" in events[-1]["text"]) == ("peer.gone", True)
        changes_unpromised(pair, "enable-peer")
        assert key in steps.device_keys(mari)
        # A new agent does its work too.
        steps.kill(mari, "inn up")
        steps.agent(mari)
        changes_unpromised(pair, "disable-peer", "--yes")
        assert key not in steps.device_keys(mari)
        wait_for(lambda: disk_error(mari), "the status to say so")
    finally:
        mari.run("umount", DATA)
    wait_for(lambda: disk_error(mari) is None, "the disk to be well again")
    saved = json.loads(mari.path(f"{DATA}/netmap.json").read_text())
    assert saved["revision"] == steps.revision(pair.coordinator)
    assert "kiln" not in {peer["name"] for peer in saved["peers"]}


def test_a_second_agent_is_refused_and_the_first_goes_on(pair: Kermpany) -> None:
    mari = pair.hosts["mari"]
    since = steps.status(mari)["connected_since"]
    done = mari.ask("inn", "up", "-d", NETWORK)
    assert (done.returncode, "[interface_busy]" in done.stderr) == (6, True), done.stderr
    assert steps.status(mari)["connected_since"] == since
    steps.kill(mari, "inn up")
    steps.agent(mari)  # a lock that its holder left behind hinders nobody


def test_events_tell_everybody_what_happened(pair: Kermpany) -> None:
    mari = pair.hosts["mari"]
    mari.start(*NOBODY, "inn", "events", NETWORK, "--follow", "--json", log="/run/.lab/followed")
    wait_for(lambda: "\n" in steps.said(mari, "followed"), "what is there already")
    before = len(steps.said(mari, "followed").splitlines())
    pair.innerd("disable-peer", "--name", "kiln", "--yes", "--wait")
    wait_for(lambda: len(steps.said(mari, "followed").splitlines()) == before + 1, "a new line", 5)
    pair.innerd("enable-peer", "--name", "kiln", "--wait")
    wait_for(lambda: len(steps.said(mari, "followed").splitlines()) == before + 2, "another line", 5)
    gone, seen = (json.loads(line) for line in steps.said(mari, "followed").splitlines()[-2:])
    assert (gone["type"], gone["subject"]) == ("peer.gone", "peer:4")
    assert (seen["type"], seen["subject"]) == ("peer.seen", "peer:4")
    text = mari.run(*NOBODY, "inn", "events", NETWORK)
    assert text.splitlines()[-2].endswith("  kiln (10.42.128.3) is out of sight")
    assert text.splitlines()[-1].endswith("  kiln (10.42.128.3, humans) is in sight")
    assert "connected; the log is at revision" in text
    document = json.loads(mari.run(*NOBODY, "inn", "events", NETWORK, "--json"))
    assert document.keys() == {"events", "revision"}
    assert all(e.keys() == {"seq", "at", "revision", "type", "subject", "text"} for e in document["events"])
    assert document["events"][-2:] == [gone, seen]
    assert document["revision"] == steps.revision(pair.coordinator)
    numbers = [event["seq"] for event in document["events"]]
    assert numbers == sorted(set(numbers))
    steps.kill(mari, "inn events")
