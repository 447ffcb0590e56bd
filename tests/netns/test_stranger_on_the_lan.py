"""A stranger on a host's LAN who has the coordinator's inner address, as a hotspot may by chance: it is spoken to on no
way, believed in nothing, and shown to whoever looks."""

import json
from collections.abc import Callable

import pytest

from tests.netns import steps
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host, wait_for
from tests.netns.steps import NETWORK

# Whoever comes is sent away as a disabled peer would be; what they say is kept.
STRANGER = r"""
import socket, threading
listening = socket.create_server(("10.42.0.1", 51820))
print("listens", flush=True)
def answer(connection):
    print("heard", connection.recv(4096), flush=True)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
                       b'event: bye\ndata: {"reason":"disabled"}\n\n')
    connection.close()
while True:
    threading.Thread(target=answer, args=(listening.accept()[0],)).start()
"""
LOG = "stranger"


@pytest.fixture(scope="module")
def made(make_lab: Callable[[], "Kermpany"]) -> Kermpany:
    made = Kermpany(make_lab(), 4)  # type: ignore[arg-type]
    made.begin()
    made.join("ryo", "humans", "--admin", "true")
    made.join("mari", "humans")
    stranger = made.lab.host("stranger")
    stranger.run("ip", "addr", "add", "10.42.0.1/32", "dev", "eth0")
    stranger.start("python3", "-c", STRANGER, log=f"/run/.lab/{LOG}")
    wait_for(lambda: "listens" in steps.said(stranger, LOG), "the stranger to listen")
    ryo = made.hosts["ryo"]
    ryo.run("ip", "route", "add", "10.42.0.1/32", "dev", "eth0")
    # The coordinator's host would answer for its inner address on the LAN, too: Linux does.
    where = json.loads(stranger.run("ip", "-j", "link", "show", "eth0"))[0]["address"]
    ryo.run("ip", "neigh", "replace", "10.42.0.1", "lladdr", where, "dev", "eth0")
    return made


def speaks_with(host: Host) -> str:
    """Who answers a program of this host that looks at the address alone."""
    ask = "import socket; s=socket.create_connection(('10.42.0.1',51820),5); s.sendall(b'hello'); print(s.recv(99))"
    return host.run("python3", "-c", ask)


def test_the_stranger_would_be_reached_by_address_alone(made: Kermpany) -> None:
    """Else the other tests would show nothing."""
    assert "200 OK" in speaks_with(made.hosts["ryo"])
    assert "heard b'hello'" in steps.said(made.hosts["stranger"], LOG)


def test_an_agent_that_starts_there_speaks_with_its_coordinator_all_the_same(made: Kermpany) -> None:
    ryo, stranger = made.hosts["ryo"], made.hosts["stranger"]
    before = steps.said(stranger, LOG)
    steps.kill(ryo, "inn.* up -d")
    steps.agent(ryo)
    wait_for(lambda: steps.status(ryo)["is_connected"], "the agent to be connected")
    made.innerd("rename-peer", "--name", "mari", "--new-name", "maria", "--yes")
    wait_for(lambda: "maria" in steps.shown(ryo), "a change to come through the tunnel")
    steps.reaches(ryo, "10.42.128.2")
    assert steps.said(stranger, LOG) == before, "not a byte"


def test_administration_goes_through_the_tunnel_too(made: Kermpany) -> None:
    ryo, stranger = made.hosts["ryo"], made.hosts["stranger"]
    before = steps.said(stranger, LOG)
    found = json.loads(ryo.run("inn", "list-peers", NETWORK, "--json"))
    assert {"ryo", "maria"} <= {peer["name"] for peer in found["peers"]}
    ryo.run("inn", "why", NETWORK, "maria")
    assert steps.said(stranger, LOG) == before


def test_who_looks_is_told_of_the_route_beside_the_tunnel(made: Kermpany) -> None:
    ryo = made.hosts["ryo"]
    said = ryo.ask("inn", "doctor", NETWORK).stdout
    assert "10.42.0.1/32 is reached by eth0" in said
    assert "10.42.0.1/32" in ryo.run("inn", "status", NETWORK)
