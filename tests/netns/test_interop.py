"""innernet's own client, 2.0.0, against our coordinator: it joins by our invitation, stays, sees and administers.

On Linux innernet finds a userspace device only by a file `<interface>.name` beside its socket, which wireguard-go does
not write there: it is laid by hand as soon as the socket is there.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.netns import steps
from tests.netns.conftest import Kermpany
from tests.netns.lab import Failed, Host, Lab, wait_for
from tests.netns.steps import NETWORK

pytestmark = pytest.mark.interop

CLIENT = Path(__file__).parents[2] / ".innernet/bin/innernet"


def innernet(host: Host, *command: str, status: int = 0) -> str:
    """Run innernet's client; its log and output."""
    done = host.ask(str(CLIENT), "--backend", "userspace", *command, timeout=60)
    if done.returncode != status:
        raise Failed(f"innernet {' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def lay_name(host: Host, interface: str = NETWORK) -> None:
    wait_for(host.path(f"/run/wireguard/{interface}.sock").exists, "innernet's device")
    host.path(f"/run/wireguard/{interface}.name").write_text(f"{interface}\n")


def join(host: Host, invitation: str) -> None:
    host.path("/etc/innernet").mkdir(mode=0o700)
    host.path("/var/lib/innernet").mkdir(mode=0o700)
    path = steps.hand_over(host, invitation)
    process = host.start(
        str(CLIENT), "--backend", "userspace", "install", path, "--default-name", "-d", log="/run/.lab/i"
    )
    lay_name(host)
    assert process.wait(60) == 0, steps.said(host, "i")


@pytest.fixture(scope="module")
def network(make_lab: Callable[[], Lab]) -> Kermpany:
    """ryo runs innernet and is an admin, mari runs inn; the coordinator takes admin requests without a proof."""
    made = Kermpany(make_lab(), 4)
    steps.found(made.coordinator, made.root)
    config = made.coordinator.path(f"/etc/innerd/{NETWORK}.toml")
    config.write_text('admin-proof = "optional"\n' + config.read_text())
    for name, cidr in (("humans", made.humans), ("ovens", made.ovens)):
        made.innerd("add-cidr", "--name", name, "--cidr", cidr, "--parent", NETWORK)
    steps.serve(made.coordinator)
    ryo = made.lab.host("ryo")
    join(ryo, steps.invite(made.coordinator, "innerd", "ryo", "humans", "--admin", "true"))
    made.join("mari", "humans")
    return made


def events(network: Kermpany, after: int) -> list[str]:
    """What has happened since a revision."""
    found = json.loads(network.innerd("audit", "--json"))["events"]
    return [f"{event['type']} by {event['actor_name']}" for event in found if event["seq"] > after]


def test_it_joins_by_our_invitation_and_sees_its_peers(network: Kermpany) -> None:
    ryo = network.hosts["ryo"]
    innernet(ryo, "fetch", NETWORK)
    shown = innernet(ryo, "show", "--short")
    assert "ryo (you" in shown
    assert "mari" in shown
    assert "10.42.128.0/17 humans" in innernet(ryo, "list-cidrs", NETWORK)


def test_innernets_client_and_ours_reach_each_other(network: Kermpany) -> None:
    innernet(network.hosts["ryo"], "fetch", NETWORK)
    steps.reaches(network.hosts["mari"], network.name("ryo"), 30)
    steps.reaches(network.hosts["ryo"], network.name("mari"), 30)


def test_it_administers_where_proofs_are_optional(network: Kermpany) -> None:
    ryo, before = network.hosts["ryo"], steps.revision(network.coordinator)
    innernet(ryo, "add-cidr", NETWORK, "--name", "cats", "--cidr", "10.42.3.0/24", "--parent", NETWORK, "--yes")
    innernet(
        *(ryo, "add-peer", NETWORK, "--name", "tama", "--cidr", "cats", "--auto-ip", "--admin", "false"),
        *("--save-config", "tama.toml", "--invite-expires", "1d", "--yes"),
    )
    innernet(ryo, "add-association", NETWORK, "humans", "cats")
    assert "humans <=> cats" in innernet(ryo, "list-associations", NETWORK)
    innernet(ryo, "rename-cidr", NETWORK, "--name", "cats", "--new-name", "tigers", "--yes")
    innernet(ryo, "disable-peer", NETWORK, "--name", "mari", "--yes")
    innernet(ryo, "enable-peer", NETWORK, "--name", "mari", "--yes")
    innernet(ryo, "delete-association", NETWORK, "humans", "tigers", "--yes")
    assert events(network, before) == [
        "cidr.created by ryo",
        "peer.added by ryo",
        "association.added by ryo",
        "cidr.renamed by ryo",
        "peer.disabled by ryo",
        "peer.enabled by ryo",
        "association.deleted by ryo",
    ]


def test_an_invitation_that_it_wrote_is_good_for_ours(network: Kermpany) -> None:
    ryo, kiln = network.hosts["ryo"], network.lab.host("kiln")
    innernet(
        *(ryo, "add-peer", NETWORK, "--name", "kiln", "--cidr", "ovens", "--auto-ip", "--admin", "false"),
        *("--save-config", "kiln.toml", "--invite-expires", "1d", "--yes"),
    )
    steps.join(kiln, ryo.path("/run/.lab/kiln.toml").read_text())
    steps.reaches(kiln, network.name("innernet-server"))


def test_what_it_puts_back_when_it_renames_is_no_override(network: Kermpany) -> None:
    """innernet writes the endpoint that it was shown back (10.R5): here that changes nothing."""
    ryo, before = network.hosts["ryo"], steps.revision(network.coordinator)
    innernet(ryo, "rename-peer", NETWORK, "--name", "mari", "--new-name", "marie", "--yes")
    innernet(ryo, "rename-peer", NETWORK, "--name", "marie", "--new-name", "mari", "--yes")
    assert events(network, before) == ["peer.renamed by ryo", "peer.renamed by ryo"]


def test_it_overrides_its_endpoint(network: Kermpany) -> None:
    ryo, before = network.hosts["ryo"], steps.revision(network.coordinator)
    innernet(ryo, "set-listen-port", NETWORK, "-l", "51999", "--yes")
    innernet(ryo, "override-endpoint", NETWORK, "-e", "0.0.0.0:51999", "--yes")
    innernet(ryo, "override-endpoint", NETWORK, "-u", "--yes")
    assert events(network, before) == ["endpoint.overridden by ryo", "endpoint.override_cleared by ryo"]


def test_where_proofs_are_required_it_may_not_administer_but_stays_a_peer(network: Kermpany) -> None:
    config = network.coordinator.path(f"/etc/innerd/{NETWORK}.toml")
    config.write_text(config.read_text().replace("optional", "required"))
    steps.kill(network.coordinator, "innerd serve")
    steps.serve(network.coordinator)
    ryo = network.hosts["ryo"]
    wait_for(lambda: steps.pings(ryo, network.api), "ryo to reach the coordinator")
    innernet(ryo, "fetch", NETWORK)
    refused = innernet(ryo, "rename-peer", NETWORK, "--name", "mari", "--new-name", "marie", "--yes", status=1)
    assert "status code 401" in refused
