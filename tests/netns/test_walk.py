"""A network end to end, over IPv4 and over IPv6: who should reach whom does, by name, and nobody else.

humans: ryo (admin), mari       ovens: toaster       cats: tama
humans and ovens are associated; tama sees only the coordinator.
"""

from collections.abc import Callable

import pytest

from tests.netns import steps
from tests.netns.conftest import Kermpany
from tests.netns.lab import Lab, wait_for
from tests.netns.steps import NETWORK

COORDINATOR = "innernet-server"
SEES = {
    "ryo": {COORDINATOR, "mari", "toaster"},
    "mari": {COORDINATOR, "ryo", "toaster"},
    "toaster": {COORDINATOR, "ryo", "mari"},
    "tama": {COORDINATOR},
}


@pytest.fixture(scope="module", params=[4, 6], ids=["IPv4", "IPv6"])
def network(request: pytest.FixtureRequest, make_lab: Callable[[], Lab]) -> Kermpany:
    made = Kermpany(make_lab(), request.param)
    made.begin()
    made.join("ryo", "humans", "--admin", "true")
    made.join("toaster", "ovens")
    made.join("tama", "cats")
    ryo = made.hosts["ryo"]
    steps.join(made.lab.host("mari"), steps.invite(ryo, "inn", "mari", "humans"))
    ryo.run("inn", "add-association", NETWORK, "humans", "ovens")
    steps.converged(made.coordinator)
    return made


def test_inn_show_names_who_is_visible_and_nobody_else(network: Kermpany) -> None:
    for name, expected in SEES.items():
        assert set(steps.shown(network.hosts[name])) - {name} == expected


def test_peers_that_see_each_other_reach_each_other_by_name(network: Kermpany) -> None:
    for name, expected in SEES.items():
        for other in expected:
            steps.reaches(network.hosts[name], network.name(other))


def test_peers_that_do_not_see_each_other_have_no_way_and_no_name(network: Kermpany) -> None:
    addresses = {name: steps.status(network.hosts[name])["ip"] for name in SEES}
    for name, other in (("tama", "ryo"), ("ryo", "tama"), ("toaster", "tama")):
        host = network.hosts[name]
        assert steps.resolves(host, network.name(other)) is None
        assert not steps.pings(host, addresses[other])
        assert steps.own_key(network.hosts[other]) not in steps.device_keys(host)


def test_dns_answers_differ_by_asker(network: Kermpany) -> None:
    kind = "A" if network.api.startswith("10.") else "AAAA"
    address = steps.status(network.hosts["mari"])["ip"]
    assert steps.answered(network.hosts["ryo"], network.api, network.name("mari"), kind) == ("NOERROR", [address])
    assert steps.answered(network.hosts["tama"], network.api, network.name("mari"), kind) == ("NXDOMAIN", [])
    text = network.hosts["ryo"].run("dig", f"@{network.api}", "-x", address, "+short", "+tcp")
    assert text.strip() == network.name("mari") + "."


def test_the_coordinators_host_resolves_every_active_peer(network: Kermpany) -> None:
    for name in SEES:
        found = wait_for(lambda name=name: steps.resolves(network.coordinator, network.name(name)), f"{name} in hosts")
        assert found == steps.status(network.hosts[name])["ip"]


def test_a_disabled_peer_is_gone_from_every_device_and_name_and_comes_back(network: Kermpany) -> None:
    mari = network.hosts["mari"]
    key = steps.own_key(mari)
    watched = [network.coordinator, network.hosts["ryo"], network.hosts["toaster"]]
    assert all(key in steps.device_keys(host) for host in watched)
    network.hosts["ryo"].run("inn", "disable-peer", NETWORK, "--name", "mari", "--yes")
    wait_for(lambda: not any(key in steps.device_keys(host) for host in watched), "mari to be off all devices")
    wait_for(lambda: steps.resolves(network.hosts["toaster"], network.name("mari")) is None, "her name to go")
    assert steps.answered(network.hosts["ryo"], network.api, network.name("mari"), "ANY")[0] == "NXDOMAIN"
    wait_for(lambda: steps.device_keys(mari) == {steps.own_key_of_coordinator(network.coordinator)}, "mari to let go")
    assert "disabled" in steps.status(mari)["trouble"]

    network.innerd("enable-peer", "--name", "mari")
    steps.reaches(network.hosts["toaster"], network.name("mari"), seconds=30)
    steps.reaches(mari, network.name("ryo"), seconds=30)


def test_a_rename_reaches_names_everywhere(network: Kermpany) -> None:
    ryo, toaster = network.hosts["ryo"], network.hosts["toaster"]
    for old, new in (("toaster", "grill"), ("grill", "toaster")):
        ryo.run("inn", "rename-peer", NETWORK, "--name", old, "--new-name", new)
        wait_for(lambda new=new: steps.resolves(ryo, network.name(new)), f"ryo to resolve {new}")
        wait_for(lambda old=old: steps.resolves(toaster, network.name(old)) is None, f"{old} to be forgotten")


def test_an_association_ends_and_begins_at_once_on_all_devices(network: Kermpany) -> None:
    ryo, toaster = network.hosts["ryo"], network.hosts["toaster"]
    key = steps.own_key(toaster)
    ryo.run("inn", "delete-association", NETWORK, "ovens", "humans", "--yes")
    wait_for(lambda: key not in steps.device_keys(ryo), "ryo to let go of toaster")
    assert set(steps.shown(ryo)) == {COORDINATOR, "ryo", "mari"}
    ryo.run("inn", "add-association", NETWORK, "ovens", "humans")
    steps.reaches(ryo, network.name("toaster"))


def test_carving_a_cidr_moves_its_peers_and_narrows_their_sight(network: Kermpany) -> None:
    """innernet refuses this; here a peer belongs to the narrowest CIDR that holds its address."""
    ryo, mari = network.hosts["ryo"], network.hosts["mari"]
    address = steps.status(mari)["ip"]
    inner = f"{address}/{32 if '.' in address else 128}"
    ryo.run("inn", "add-cidr", NETWORK, "--name", "bakers", "--cidr", inner, "--parent", "humans", "--yes")
    # mari's own CIDR is bakers now; humans' association holds for everything below humans, its membership doesn't.
    wait_for(lambda: "mari" not in steps.shown(ryo), "ryo to lose sight of mari")
    steps.reaches(mari, network.name("toaster"))
    assert steps.asked(ryo, "inn", "list-cidrs", NETWORK)["cidrs"][-1]["name"] == "bakers"
    ryo.run("inn", "add-association", NETWORK, "bakers", "humans")
    steps.reaches(ryo, network.name("mari"))


def test_status_and_convergence_agree_that_nobody_lags(network: Kermpany) -> None:
    steps.converged(network.coordinator)
    state = steps.asked(network.coordinator, "innerd", "status", NETWORK)
    assert state["lagging"] == []
    assert state["streams"] == len(SEES)
    for name in SEES:
        own = steps.status(network.hosts[name])
        assert own["is_connected"]
        assert own["trouble"] is None
        assert own["reached"] >= 1
