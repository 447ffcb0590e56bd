"""A host whose resolver says nothing for minutes, in a network whose coordinator is told by name: what is known counts,
and nothing waits for names."""

from tests.netns import steps
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host, wait_for
from tests.netns.steps import NETWORK

_SILENT = "import socket, time; s = socket.socket(2, 2); s.bind(('127.0.0.9', 53)); time.sleep(9999)"
_WITHIN = 45.0  # seconds, while each look-up takes 150


def silence(host: Host) -> None:
    """From now on all look-ups of a host hang."""
    host.start("python3", "-c", _SILENT)
    wait_for(lambda: "127.0.0.9:53" in host.run("ss", "-Hlun"), "a resolver that says nothing")
    host.path("/etc/resolv.conf").write_text("nameserver 127.0.0.9\noptions timeout:30 attempts:5\n")


def asks(host: Host) -> bool:
    """Whether a look-up of the host is under way."""
    return "127.0.0.9:53" in host.run("ss", "-Hun")


def test_a_revocation_a_repair_and_a_start_from_the_cache_wait_for_no_name(kermpany: Kermpany) -> None:
    for name in ("ryo", "mari", "kiln"):
        kermpany.join(name, "humans")
    mari, ryo, kiln = (kermpany.hosts[name] for name in ("mari", "ryo", "kiln"))
    silence(mari)
    kermpany.innerd("set-endpoint", "vpn.example.com:51820", "--yes")
    wait_for(lambda: asks(mari), "the coordinator's name to be looked up", 20)
    key = steps.own_key(kiln)
    kermpany.innerd("disable-peer", "--name", "kiln", "--yes")
    wait_for(lambda: key not in steps.device_keys(mari), "the revocation on mari's device", _WITHIN)
    mari.run("ip", "link", "del", NETWORK)
    wait_for(lambda: steps.own_key(ryo) in steps.device_keys(mari), "the device to be put right", _WITHIN)
    steps.reaches(mari, kermpany.name("ryo"), _WITHIN)
    for process in ("inn up", "wireguard-go"):
        steps.kill(mari, process)
    mari.begin("inn", "up", "-d", NETWORK, log="/run/.lab/inn.log")
    wait_for(lambda: steps.own_key(ryo) in steps.device_keys(mari), "a start from the cache", _WITHIN)
    wait_for(lambda: steps.status(mari)["is_connected"], "the coordinator, where it was", _WITHIN)
    assert asks(mari)
