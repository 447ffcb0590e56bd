"""A command that begins loaded is the one that is installed: it says the same, ends alike, and is called the same."""

import subprocess

import pytest

from tests.netns import steps
from tests.netns.lab import PATIENCE, Lab, wait_for
from tests.netns.steps import NETWORK

COMMANDS = [
    ("inn", "--version"),
    ("inn",),
    ("inn", "install", "--help"),
    ("inn", "status", "nowhere", "--json"),
    ("inn", "--nonsense"),
    ("innerd", "list-peers", NETWORK, "--json"),
    ("innerd", "new", "--network-name", NETWORK),
]


def test_it_says_the_same_and_ends_alike(empty_lab: Lab) -> None:
    host = empty_lab.host("coordinator")
    steps.found(host, "10.42.0.0/16")
    for command in COMMANDS:
        loaded, installed = host.ask(*command), host.ask("env", *command)
        found, wanted = ((done.returncode, done.stdout, done.stderr) for done in (loaded, installed))
        assert found == wanted, command


def test_it_is_a_process_of_its_host_and_called_the_same(empty_lab: Lab) -> None:
    host = empty_lab.host("coordinator")
    steps.found(host, "10.42.0.0/16")
    called = []
    for begin in (host.begin, host.start):
        process = begin("innerd", "serve", NETWORK, log="/run/.lab/innerd.log")
        (pid,) = wait_for(lambda: host.pids(f"bin/innerd serve {NETWORK}"), "innerd to be there")
        called.append((host.run("ps", "-o", "comm=", "-p", str(pid)), host.run("ps", "-o", "args=", "-p", str(pid))))
        assert process.poll() is None
        host.run("kill", "-KILL", str(pid))
        assert process.wait(20 * PATIENCE) == -9
    assert called[0] == called[1]


def test_one_that_is_not_waited_for_any_longer_ends(empty_lab: Lab) -> None:
    host = empty_lab.host("coordinator")
    steps.found(host, "10.42.0.0/16")
    steps.serve(host)
    with pytest.raises(subprocess.TimeoutExpired):
        host.ask("innerd", "audit", NETWORK, "--follow", timeout=0.1)
    wait_for(lambda: not host.pids("innerd audit"), "it to end")
