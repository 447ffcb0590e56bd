"""Moving in: innernet's own server makes a network, is stopped, and `innerd` goes on in its place. Its clients, 2.0.0,
are not touched; they must not even notice."""

import json
from collections.abc import Callable
from signal import SIGTERM

import pytest

from tests.netns import steps
from tests.netns.lab import Host, Lab, wait_for
from tests.netns.steps import NETWORK
from tests.netns.test_interop import CLIENT, innernet, join

pytestmark = pytest.mark.interop

SERVER = str(CLIENT.with_name("innernet-server"))
CONFIG, DATABASE = f"/etc/innernet-server/{NETWORK}.conf", f"/var/lib/innernet-server/{NETWORK}.db"
PEERS = {"ryo": ("humans", "true"), "mari": ("humans", "false"), "tama": ("cats", "false"), "kuro": ("cats", "false")}


class Moved:
    """ryo (an admin) and mari run innernet; tama and kuro have invitations of innernet's server in their hands."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.coordinator = lab, lab.host("coordinator")
        self.taken: dict[str, list[dict[str, object]]] = {}
        self.keys: dict[str, set[str]] = {}  # on the clients' devices, before the move

    def host(self, name: str) -> Host:
        return self.lab.hosts.get(name) or self.lab.host(name)

    def server(self, verb: str, *rest: str) -> str:
        return self.coordinator.run(SERVER, verb, NETWORK, *rest)

    def found(self) -> None:
        self.coordinator.path("/etc/innernet-server").mkdir(mode=0o700)
        self.coordinator.run(
            *(SERVER, "new", "--network-name", NETWORK, "--network-cidr", "10.42.0.0/16", "--listen-port", "51820"),
            *("--external-endpoint", f"{self.coordinator.address}:51820"),
        )
        for name, cidr in (("humans", "10.42.128.0/17"), ("cats", "10.42.3.0/24")):
            self.server("add-cidr", "--name", name, "--cidr", cidr, "--parent", NETWORK, "--yes")
        for name, (cidr, admin) in PEERS.items():
            self.server(
                *("add-peer", "--name", name, "--cidr", cidr, "--auto-ip", "--admin", admin),
                *("--save-config", f"/run/.lab/{name}.toml", "--invite-expires", "1d", "--yes"),
            )
        self.coordinator.start(SERVER, "serve", NETWORK, "--backend", "userspace", "--no-write-hosts")
        listening = f"10.42.0.1%{NETWORK}:51820"
        wait_for(lambda: listening in self.coordinator.run("ss", "-lnt"), "innernet-server to serve")

    def invitation(self, name: str) -> str:
        return self.coordinator.path(f"/run/.lab/{name}.toml").read_text()

    def move(self) -> None:
        steps.kill(self.coordinator, f"innernet-server serve {NETWORK}", SIGTERM)
        files = ("--config", CONFIG, "--database", DATABASE)
        self.taken = json.loads(self.coordinator.run("innerd", "import-innernet", *files, "--yes", "--json"))
        steps.serve(self.coordinator)


@pytest.fixture(scope="module")
def moved(make_lab: Callable[[], Lab]) -> Moved:
    made = Moved(make_lab())
    made.found()
    for name in ("ryo", "mari"):
        join(made.host(name), made.invitation(name))
    innernet(made.host("ryo"), "add-association", NETWORK, "humans", "cats")
    innernet(made.host("ryo"), "fetch", NETWORK)
    steps.reaches(made.host("ryo"), "10.42.128.2", 30)
    made.keys = {name: steps.device_keys(made.host(name)) for name in ("ryo", "mari")}
    made.move()
    return made


def test_what_was_taken_over_is_what_was_there(moved: Moved) -> None:
    assert [(peer["id"], peer["name"], peer["ip"]) for peer in moved.taken["peers"]] == [
        (1, "innernet-server", "10.42.0.1"),
        (2, "ryo", "10.42.128.1"),
        (3, "mari", "10.42.128.2"),
        (4, "tama", "10.42.3.1"),
        (5, "kuro", "10.42.3.2"),
    ]
    assert moved.taken["notes"] == []


def test_clients_go_on_as_they_are(moved: Moved) -> None:
    for name, other in (("ryo", "10.42.128.2"), ("mari", "10.42.128.1")):
        host = moved.host(name)
        wait_for(lambda host=host: steps.pings(host, "10.42.0.1"), f"{name} to reach the coordinator", 40)
        innernet(host, "fetch", NETWORK)
        assert steps.device_keys(host) == moved.keys[name], "nobody's key is another one"
        steps.reaches(host, other, 30)


def test_an_administrator_goes_on_with_innernets_client(moved: Moved) -> None:
    innernet(
        moved.host("ryo"),
        "add-cidr",
        NETWORK,
        "--name",
        "ovens",
        "--cidr",
        "10.42.64.0/24",
        "--parent",
        NETWORK,
        "--yes",
    )
    (event,) = json.loads(moved.coordinator.run("innerd", "audit", NETWORK, "--limit", "1", "--json"))["events"]
    assert (event["type"], event["actor_name"]) == ("cidr.created", "ryo")


def test_an_invitation_of_innernets_server_is_still_good_for_innernets_client(moved: Moved) -> None:
    tama = moved.host("tama")
    join(tama, moved.invitation("tama"))
    innernet(moved.host("mari"), "fetch", NETWORK)
    steps.reaches(tama, "10.42.0.1", 30)
    steps.reaches(moved.host("mari"), "10.42.3.1", 30)


def test_an_invitation_of_innernets_server_is_good_for_ours(moved: Moved) -> None:
    kuro = moved.host("kuro")
    steps.join(kuro, moved.invitation("kuro"))
    innernet(moved.host("mari"), "fetch", NETWORK)
    steps.reaches(kuro, "10.42.128.2", 30)
