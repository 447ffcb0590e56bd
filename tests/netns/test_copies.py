"""A copy of a network beside what it was made of, with the same name, key and id: what it does, it does to itself."""

from tests.netns import steps
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host
from tests.netns.steps import NETWORK

FOLDERS = ("-c", "/run/.lab/copy/config", "-d", "/run/.lab/copy/data")
OWN = ("--runtime-dir", "/run/.lab/copy/run")


def restored(host: Host) -> None:
    """As docs/backup.md says it: another generation."""
    host.run("innerd", "backup", NETWORK, "/run/.lab/backup.db")
    host.run("sh", "-c", f"umask 077; innerd {' '.join(FOLDERS)} restore /run/.lab/backup.db")


def copied(host: Host) -> None:
    """The files as they are, the lock that names its holder among them."""
    host.run("sh", "-c", "umask 077; mkdir -p /run/.lab/copy && cp -a /etc/innerd /run/.lab/copy/config")
    host.run("cp", "-a", "/var/lib/innerd", "/run/.lab/copy/data")


def is_untouched(kermpany: Kermpany) -> bool:
    status = steps.asked(kermpany.coordinator, "innerd", "status", NETWORK)
    (cook,) = (p for p in steps.asked(kermpany.coordinator, "innerd", "list-peers", NETWORK)["peers"] if p["id"] == 2)
    hosts = kermpany.coordinator.path("/etc/hosts").read_text()
    return (
        (status["is_serving"], status["generation"], cook["is_disabled"]) == (True, 1, False)
        and steps.status(kermpany.hosts["cook"])["is_connected"]
        and f"cook.{NETWORK}.wg" in hosts
        and kermpany.coordinator.ask("ping", "-c1", "-W5", cook["ip"]).returncode == 0
    )


def test_a_copy_of_a_coordinator_acts_on_itself_alone(kermpany: Kermpany) -> None:
    kermpany.join("cook", "humans")
    host = kermpany.coordinator
    for made, flags in ((restored, FOLDERS), (copied, (*FOLDERS, *OWN))):
        made(host)
        copy = ("innerd", *flags)
        status = steps.asked(host, *copy, "status", NETWORK)
        assert (status["is_serving"], status["generation"]) == (False, 1 + (made is restored))
        host.run(*copy, "disable-peer", NETWORK, "--name", "cook", "--yes")
        assert is_untouched(kermpany)

        served = host.ask(*copy, "serve", NETWORK)
        assert (served.returncode, "[interface_taken]" in served.stderr) == (6, True), served.stderr
        assert f"belongs to /var/lib/innerd/{NETWORK}.db" in served.stderr
        assert is_untouched(kermpany)

        gone = host.ask(*copy, "uninstall", NETWORK, "--yes", status=0)
        assert "left alone" in gone.stderr
        assert not host.path(f"/run/.lab/copy/data/{NETWORK}.db").exists()
        assert is_untouched(kermpany)
        host.run("rm", "-rf", "/run/.lab/copy", "/run/.lab/backup.db")


def test_a_copy_of_a_peer_acts_on_itself_alone(kermpany: Kermpany) -> None:
    cook = kermpany.join("cook", "humans")
    for flags in (FOLDERS, (*FOLDERS, *OWN)):
        cook.run("sh", "-c", "umask 077; mkdir -p /run/.lab/copy && cp -a /etc/inn /run/.lab/copy/config")
        cook.run("cp", "-a", "/var/lib/inn", "/run/.lab/copy/data")
        copy = ("inn", *flags)
        assert steps.asked(cook, *copy, "status", NETWORK)["has_agent"] is False
        assert cook.ask(*copy, "down", NETWORK).returncode == 6
        assert cook.ask(*copy, "up", NETWORK).returncode == 6
        cook.ask(*copy, "uninstall", NETWORK, "--yes")
        assert steps.status(cook)["is_connected"]
        assert is_untouched(kermpany)
        cook.run("rm", "-r", "/run/.lab/copy")
