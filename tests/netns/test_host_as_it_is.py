"""A coordinator on a host where another server has the DNS port, and where /etc is read-only for a while: the network
is served all the same, what is missing is said, and it comes by itself."""

import json

from tests import without_ipv6
from tests.netns import steps
from tests.netns.ailments import COORDINATOR, squatter
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host, Lab, wait_for
from tests.netns.steps import NETWORK

WITHOUT_IPV6 = without_ipv6.__file__


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


def test_a_host_without_ipv6_goes_to_the_address_that_is_left(empty_lab: Lab) -> None:
    """The coordinator's name has both; the kernel of its peer has none of one family."""
    made = Kermpany(empty_lab, 4)
    host, name = made.coordinator, "vpn.example.com"
    host.run("sh", "-ec", f"printf '{host.address} {name}\\n' >> /etc/hosts")
    steps.found(host, made.root, endpoint=f"{name}:51820")
    made.innerd("add-cidr", "--name", "humans", "--cidr", made.humans, "--parent", NETWORK)
    steps.serve(host)
    ryo = made.lab.host("ryo")
    ryo.run("sh", "-ec", f"printf '2001:db8::7 {name}\\n{host.address} {name}\\n' >> /etc/hosts")
    file = steps.hand_over(ryo, steps.invite(host, "innerd", "ryo", "humans"))
    ryo.run("python", WITHOUT_IPV6, "inn", "install", file, "--name", NETWORK)
    ryo.run("python", WITHOUT_IPV6, "inn", "up", NETWORK)
    done = ryo.ask("python", WITHOUT_IPV6, "inn", "doctor", "--json")
    found = {one["check"]: one for one in json.loads(done.stdout)["checks"]}
    assert found["coordinator"]["state"] == "ok", found
    assert "not supported" not in done.stdout + done.stderr


def test_a_link_that_carries_less_now_makes_the_tunnel_narrower(kermpany: Kermpany) -> None:
    ryo = kermpany.join("ryo", "humans")
    for host in (ryo, kermpany.coordinator):
        host.run("ip", "route", "add", "default", "via", "10.99.0.250")
        (link,) = (one["dev"] for one in json.loads(host.run("ip", "-j", "route", "get", "10.99.0.250")))
        for mtu in (1400, 1500):
            host.run("ip", "link", "set", link, "mtu", str(mtu))
            wait_for(lambda: mtu_of(host) == mtu - 80, f"the tunnel of {host.name} to follow {mtu}", 4)  # noqa: B023


def mtu_of(host: Host) -> int:
    return int(json.loads(host.run("ip", "-j", "link", "show", NETWORK))[0]["mtu"])
