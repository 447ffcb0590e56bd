"""Somebody else's interface that bears our name: refused and left alone by all verbs, and by agent and coordinator
while they run; when it is gone, they recover by themselves."""

import json
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.netns import steps
from tests.netns.ailments import make_by_hand, remove_by_hand
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host, Lab, wait_for
from tests.netns.pinging import device, index
from tests.netns.steps import NETWORK

pytestmark = pytest.mark.slow  # minutes, most of which are waits for WireGuard's own timers

API = "10.42.0.1"


@pytest.fixture(scope="module")
def made(make_lab: Callable[[], Lab]) -> Kermpany:
    """A network of ryo and mari, who see each other."""
    made = Kermpany(make_lab(), 4)
    made.begin()
    made.join("ryo", "humans")
    made.join("mari", "humans")
    return made


@pytest.fixture
def pair(made: Kermpany) -> Iterator[Kermpany]:
    """The network as every test finds it, and leaves it: both agents connected, ryo and mari in reach."""
    yield made
    wait_for(lambda: steps.asked(made.coordinator, "innerd", "status", NETWORK)["streams"] >= 2, "both agents", 60)
    steps.reaches(made.hosts["mari"], made.name("ryo"), 40)


class Foreign:
    """An interface made by hand under our name. Where a process of ours keeps ours, it stands still meanwhile: it would
    be faster."""

    def __init__(self, host: Host, process: str = "") -> None:
        self.host = host
        pids = [str(pid) for pid in host.pids(process)] if process else []
        for pid in pids:
            host.run("kill", "-STOP", pid)
        if device(host) is not None:
            host.run("ip", "link", "del", NETWORK)
            wait_for(lambda: not host.pids("wireguard-go"), "our own daemon to end")
        make_by_hand(host)
        self.made = self.look()
        for pid in pids:
            host.run("kill", "-CONT", pid)
        for child in host._children:  # nsenter stands still with what it started
            child.send_signal(signal.SIGCONT)

    def look(self) -> tuple[int, dict[str, Any] | None, list[int]]:
        return index(self.host), device(self.host), self.host.pids("wireguard-go")

    def is_untouched(self) -> bool:
        return self.look() == self.made

    def remove(self) -> None:
        remove_by_hand(self.host)


def refused(host: Host, *command: str) -> str:
    """A verb that must be refused for the interface's sake; its message."""
    done = host.ask(*command, timeout=60)
    assert done.returncode == 6, done.stdout + done.stderr
    assert "[interface_taken]" in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def stands_firm(foreign: Foreign, log: str) -> None:
    """Wait until a process has said three times more that it leaves it alone: it has looked again, and not given in."""
    text, before = "did not make it: it is left alone", len(steps.said(foreign.host, log))

    def is_over() -> bool:
        return steps.said(foreign.host, log)[before:].count(text) >= 3 or not foreign.is_untouched()

    wait_for(is_over, f"{text!r}, three times, in {log}", 30)
    assert foreign.is_untouched(), (foreign.made, foreign.look())


def test_an_agent_leaves_it_alone_and_recovers_when_it_is_gone(pair: Kermpany) -> None:
    mari = pair.hosts["mari"]
    foreign = Foreign(mari, "inn up -d")
    stands_firm(foreign, "inn.log")
    status = steps.status(mari)
    assert "did not make it" in str(status["device_error"])
    done = mari.ask("inn", "doctor", NETWORK, "--json")
    (interface,) = (one for one in json.loads(done.stdout)["checks"] if one["check"] == "interface")
    assert (done.returncode, interface["state"]) == (6, "failed")
    assert foreign.is_untouched()
    foreign.remove()
    wait_for(lambda: (found := device(mari)) and found["owner"] == f"inn {NETWORK}", "mari's own interface", 10)
    wait_for(lambda: steps.status(mari)["device_error"] is None, "the error to be gone")
    steps.reaches(mari, API, 30)


def test_a_coordinator_leaves_it_alone_and_recovers_when_it_is_gone(pair: Kermpany) -> None:
    host = pair.coordinator
    foreign = Foreign(host, "innerd serve")
    stands_firm(foreign, "innerd.log")
    done = host.ask("innerd", "doctor", NETWORK, "--json")
    (interface,) = (one for one in json.loads(done.stdout)["checks"] if one["check"] == "interface")
    assert (done.returncode, interface["state"]) == (6, "failed")
    pair.innerd("add-cidr", "--name", "meanwhile", "--cidr", "10.42.200.0/24", "--parent", "humans")
    pair.innerd("delete-cidr", "--name", "meanwhile", "--yes")
    assert foreign.is_untouched()
    foreign.remove()
    wait_for(lambda: (found := device(host)) and found["owner"] == f"innerd {NETWORK}", "its own interface", 10)
    steps.reaches(pair.hosts["mari"], API, 40)
    assert "Traceback" not in steps.said(host, "innerd.log")


def test_every_verb_of_inn_leaves_it_alone(pair: Kermpany) -> None:
    mari = pair.hosts["mari"]
    mari.run("inn", "down", NETWORK)
    wait_for(lambda: not mari.pids("inn up"), "the agent to end")
    foreign = Foreign(mari)
    for command in (("up",), ("up", "-d"), ("fetch",), ("down",)):
        message = refused(mari, "inn", *command, NETWORK)
        assert NETWORK in message
        assert foreign.is_untouched(), command
    for command in (("show",), ("status",)):
        mari.ask("inn", *command, NETWORK)
        assert foreign.is_untouched(), command
    assert "10.99.0.1" not in mari.run("wg", "show", NETWORK)
    foreign.remove()
    steps.agent(mari)


def test_set_listen_port_leaves_it_alone(pair: Kermpany) -> None:
    mari = pair.hosts["mari"]
    mari.run("inn", "down", NETWORK)
    wait_for(lambda: not mari.pids("inn up"), "the agent to end")
    foreign = Foreign(mari)
    config = mari.path(f"/etc/inn/{NETWORK}.toml").read_text()
    try:
        mari.ask("inn", "set-listen-port", NETWORK, "--listen-port", "52111", "--yes")
        assert foreign.is_untouched()
    finally:
        foreign.remove()
        mari.path(f"/etc/inn/{NETWORK}.toml").write_text(config)
        steps.agent(mari)


def test_an_agent_that_is_told_to_go_down_leaves_it_alone(pair: Kermpany) -> None:
    mari = pair.hosts["mari"]
    foreign = Foreign(mari, "inn up -d")
    refused(mari, "inn", "down", NETWORK)
    wait_for(lambda: not mari.pids("inn up"), "the agent to end all the same")
    assert foreign.is_untouched()
    foreign.remove()
    steps.agent(mari)


def test_serve_leaves_it_alone(pair: Kermpany) -> None:
    host = pair.coordinator
    steps.kill(host, "innerd serve")
    foreign = Foreign(host)
    refused(host, "innerd", "serve", NETWORK)
    host.run("innerd", "add-cidr", NETWORK, "--name", "aside", "--cidr", "10.42.201.0/24", "--parent", "humans")
    host.run("innerd", "delete-cidr", NETWORK, "--name", "aside", "--yes")  # without a server, by itself
    assert foreign.is_untouched()
    foreign.remove()
    steps.serve(host)
    steps.kill(pair.hosts["mari"], "inn up")
    steps.agent(pair.hosts["mari"])


@pytest.mark.parametrize(
    "has_agent", [pytest.param(True, id="with the agent"), pytest.param(False, id="without an agent")]
)
def test_uninstall_takes_the_network_and_leaves_it_alone(pair: Kermpany, has_agent: bool) -> None:
    name = f"leaves{int(has_agent)}"
    host = pair.join(name, "humans")
    if not has_agent:
        host.run("inn", "down", NETWORK)
        wait_for(lambda: not host.pids("inn up"), "the agent to end")
    foreign = Foreign(host, "inn up -d" if has_agent else "")
    done = host.ask("inn", "uninstall", NETWORK, "--yes")
    assert done.returncode == 0, done.stderr
    assert "left alone" in done.stderr
    assert foreign.is_untouched()
    assert not host.path(f"/etc/inn/{NETWORK}.toml").exists()
    assert not host.path(f"/var/lib/inn/{NETWORK}").exists()
    wait_for(lambda: not host.pids("inn up"), "the agent to end")
    assert foreign.is_untouched()


def test_uninstall_of_a_coordinator_leaves_it_alone(empty_lab: Lab) -> None:
    host = empty_lab.host("coordinator")
    steps.found(host, "10.42.0.0/16")
    foreign = Foreign(host)
    done = host.ask("innerd", "uninstall", NETWORK, "--yes")
    assert done.returncode == 0, done.stderr
    assert "left alone" in done.stderr
    assert foreign.is_untouched()
    assert not host.path(f"/etc/innerd/{NETWORK}.toml").exists()
    assert not host.path(f"/var/lib/innerd/{NETWORK}.db").exists()


def test_uninstall_takes_its_own_interface(empty_lab: Lab) -> None:
    made = Kermpany(empty_lab, 4)
    made.begin()
    mari = made.join("mari", "humans")
    mari.run("inn", "uninstall", NETWORK, "--yes")
    assert device(mari) is None
    steps.kill(made.coordinator, "innerd serve")
    made.coordinator.run("innerd", "uninstall", NETWORK, "--yes")
    assert device(made.coordinator) is None
    wait_for(lambda: not made.coordinator.pids("wireguard-go"), "the daemon to end")
