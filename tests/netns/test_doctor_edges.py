"""Doctor where there is little to look at, or little right to look; remedies that are followed to the letter; and what
is said of a coordinator that fell silent a moment ago."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.netns import ailments, steps
from tests.netns.ailments import COORDINATOR, PORT, dropping
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host, Lab, wait_for
from tests.netns.steps import NETWORK

pytestmark = pytest.mark.slow  # minutes, most of which are waits for WireGuard's own timers

NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
INN, INNERD = ("inn", "doctor"), ("innerd", "doctor", NETWORK)


@pytest.fixture(scope="module")
def made(make_lab: Callable[[], Lab]) -> Kermpany:
    """A network of mari, whose agent runs; and a host that is in no network."""
    made = Kermpany(make_lab(), 4)
    made.begin()
    made.join("mari", "humans")
    made.lab.host("lone")
    for host in made.hosts.values():
        host.run("ip", "route", "add", "default", "via", "10.99.0.250")
    return made


def checks(host: Host, *command: str, status: int) -> dict[str, dict[str, Any]]:
    """The worst finding of each check."""
    found: dict[str, dict[str, Any]] = {}
    order = ("ok", "unknown", "warning", "failed")
    for one in json.loads(host.run(*command, "--json", status=status))["checks"]:
        if one["check"] not in found or order.index(one["state"]) > order.index(found[one["check"]]["state"]):
            found[one["check"]] = one
    return found


def test_healthy_hosts_fail_in_nothing(made: Kermpany) -> None:
    for host, command in ((made.hosts["mari"], INN), (made.coordinator, INNERD), (made.hosts["mari"], (*INN, NETWORK))):
        found = checks(host, *command, status=0)
        wrong = {name: one["text"] for name, one in found.items() if one["state"] != "ok"}
        assert wrong.keys() <= {"wireguard", "clock"}, wrong  # this machine's kernel, and its clock
        assert {"privileges", "disk", "interface", "port", "firewall", "mtu"} <= found.keys()
    assert found["coordinator"]["text"].startswith("answers at 10.42.0.1 through the tunnel")
    assert "FAILED" not in made.hosts["mari"].run(*INN)


def test_where_no_network_is_there_is_nothing_to_fail(made: Kermpany) -> None:
    lone = made.hosts["lone"]
    found = checks(lone, *INN, status=0)
    assert "inn install" in found["networks"]["text"]
    assert found["wireguard"]["state"] in ("ok", "warning")
    assert lone.ask("ip", "link", "show", "inn-doctor").returncode  # nothing is left of the try
    config = checks(lone, *INN, "nonesuch", status=4)["config"]
    assert (config["state"], "no network" in config["text"]) == ("failed", True)


def test_a_host_without_networks_is_asked_for_one_of_its_own(made: Kermpany) -> None:
    found = checks(made.hosts["lone"], *INNERD, status=4)
    assert (found["config"]["state"], found["config"]["status"]) == ("failed", 4)
    assert "innerd new" in found["config"]["fix"]
    assert found["disk"]["state"] == "ok"


def test_a_name_that_can_be_none_is_a_usage_error(made: Kermpany) -> None:
    for command in (("inn", "doctor", "../x"), ("innerd", "doctor", "../x")):
        assert made.hosts["lone"].ask(*command).returncode == 2


def test_without_root_it_says_so_and_shows_no_traceback(made: Kermpany) -> None:
    for host, command in ((made.hosts["mari"], INN), (made.coordinator, INNERD)):
        done = host.ask(*NOBODY, *command)
        assert done.returncode == 6
        assert "Traceback" not in done.stderr
        assert "root" in done.stdout + done.stderr


def test_the_remedy_for_a_firewall_helps_when_it_is_typed_in(made: Kermpany) -> None:
    with dropping(COORDINATOR, "ct state established accept")(made):
        fix = checks(made.coordinator, *INNERD, status=6)["firewall"]["fix"]
        made.coordinator.run("sh", "-ec", fix.partition(": ")[2])
        assert checks(made.coordinator, *INNERD, status=0)["firewall"]["state"] == "ok"


def test_a_firewall_that_drops_ipv6_alone_is_found(made: Kermpany) -> None:
    """The coordinator has addresses of both families, and peers may come to either."""
    rules = "add table ip6 wall; add chain ip6 wall in { type filter hook input priority 0; policy drop; }"
    made.coordinator.run("nft", rules)
    try:
        found = json.loads(made.coordinator.ask(*INNERD, "--json").stdout)["checks"]
        assert any(one["check"] == "firewall" and one["state"] in ("failed", "warning") for one in found)
    finally:
        made.coordinator.run("nft", "delete table ip6 wall")


def test_a_coordinator_that_fell_silent_is_not_said_to_have_a_tunnel(made: Kermpany) -> None:
    """What was shaken a minute ago says nothing of now: nothing comes back through the tunnel."""
    mari = made.hosts["mari"]
    with dropping(COORDINATOR)(made):
        found = checks(mari, *INN, status=5)
    wait_for(lambda: steps.status(mari)["is_connected"], "mari to be connected again", 60)
    assert "the tunnel is up" not in found["coordinator"]["text"]


def test_a_data_folder_of_its_own_that_is_read_only_is_found(made: Kermpany) -> None:
    mari = made.hosts["mari"]
    mari.run("sh", "-ec", "mount --bind /var/lib/inn /var/lib/inn; mount -o remount,bind,ro /var/lib/inn")
    try:
        found = json.loads(mari.ask(*INN, "--json").stdout)["checks"]
        assert any("read-only" in one["text"] for one in found)
    finally:
        mari.run("umount", "/var/lib/inn")


def test_an_endpoint_inside_the_network_is_refused(made: Kermpany) -> None:
    """Who is told to reach the tunnel through the tunnel hears nothing any more, not even that it was an error."""
    inside = ("innerd", "set-endpoint", NETWORK, f"10.42.0.1:{PORT}", "--yes", "--dry-run")
    assert made.coordinator.ask(*inside).returncode in (2, 3)


def test_an_endpoint_inside_the_network_is_refused_when_it_is_made(empty_lab: Lab) -> None:
    host = empty_lab.host("alone")
    given = ("--network-name", NETWORK, "--network-cidr", "10.42.0.0/16", "--listen-port", str(PORT))
    done = host.ask("innerd", "new", *given, "--external-endpoint", f"10.42.0.1:{PORT}")
    assert (done.returncode, "[invalid_endpoint]" in done.stderr) == (2, True)
    assert not host.path(f"/var/lib/innerd/{NETWORK}.db").exists()


def test_a_peer_that_was_disabled_is_told_what_may_be(made: Kermpany) -> None:
    """The coordinator answers it nothing at all, as it answers no stranger."""
    mari = made.hosts["mari"]
    steps.kill(mari, "inn up")  # else it was told, and knows
    made.innerd("disable-peer", "--name", "mari", "--yes")
    try:
        with ailments.fresh_start(made):
            text = checks(mari, *INN, status=5)["coordinator"]["text"]
        assert "or this peer was disabled or retired" in text
    finally:
        made.innerd("enable-peer", "--name", "mari")
        steps.kill(mari, "inn up")
        steps.agent(mari)
