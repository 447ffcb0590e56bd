"""A coordinator on a host where another server has the DNS port, and where /etc is read-only for a while: the network
is served all the same, what is missing is said, and it comes by itself."""

import json

from tests.netns import steps
from tests.netns.ailments import COORDINATOR, squatter
from tests.netns.conftest import Kermpany
from tests.netns.lab import Lab, wait_for
from tests.netns.steps import NETWORK


def troubles(made: Kermpany) -> dict[str, str]:
    said = json.loads(made.innerd("status", "--json"))["troubles"]
    return {trouble["kind"]: f"{trouble['text']} {trouble['hint']}" for trouble in said}


def test_a_network_is_served_without_dns_where_another_server_has_the_port(empty_lab: Lab) -> None:
    made = Kermpany(empty_lab, 4)
    with squatter(COORDINATOR, "udp", 53)(made):
        made.begin()
        made.join("ryo", "humans")
        steps.reaches(made.hosts["ryo"], made.api)
        assert "squatter (pid " in troubles(made)["dns"]
        assert f"[dns] enabled = false in /etc/innerd/{NETWORK}.toml" in troubles(made)["dns"]
        said = steps.said(made.coordinator, "innerd.log")
        assert "NOT SERVED: names are not answered" in said
        found = json.loads(made.coordinator.ask("innerd", "doctor", NETWORK, "--json").stdout)["checks"]
        assert any(one["check"] == "dns" and one["state"] == "failed" for one in found)
    wait_for(lambda: "dns" not in troubles(made), "DNS to be served")
    assert steps.answered(made.hosts["ryo"], made.api, made.name("ryo"))[1]


def test_the_block_of_the_coordinators_host_comes_back(kermpany: Kermpany) -> None:
    host, hosts = kermpany.coordinator, kermpany.coordinator.path("/etc/hosts")
    wait_for(lambda: kermpany.name("innernet-server") in hosts.read_text(), "the block to be there")
    host.run("sh", "-ec", "echo 192.0.2.1 mine > /etc/hosts")
    wait_for(lambda: kermpany.name("innernet-server") in hosts.read_text(), "the block to be back")
    assert "192.0.2.1 mine" in hosts.read_text()

    host.run("sh", "-ec", "mount --bind /etc /etc; mount -o remount,bind,ro /etc")
    try:
        kermpany.join("ryo", "humans")
        wait_for(lambda: "Read-only file system" in troubles(kermpany).get("hosts", ""), "it to be said")
    finally:
        host.run("umount", "/etc")
    wait_for(lambda: "hosts" not in troubles(kermpany), "it to be written")
    assert kermpany.name("ryo") in hosts.read_text()
