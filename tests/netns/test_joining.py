"""Joining goes wrong in every way that it can: killed at any moment on either side, used twice, torn, out of reach."""

import json
import random
import signal
import subprocess
import time

import pytest

from tests.netns import steps
from tests.netns.conftest import Kermpany
from tests.netns.lab import PATIENCE, Host, wait_for
from tests.netns.steps import NETWORK

ROUNDS = 6


def install(host: Host, file: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return host.ask("inn", "install", file, "--name", NETWORK, *flags, timeout=20)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The stable code of an error on stderr."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    return lines[0].rpartition("[")[2].rstrip("]")


def nothing_left(host: Host) -> bool:
    """No interface, no config, no names of the network on a host."""
    link = host.ask("ip", "link", "show", NETWORK).returncode != 0
    return link and not host.path(f"/etc/inn/{NETWORK}.toml").exists() and NETWORK not in hosts_file(host)


def hosts_file(host: Host) -> str:
    return host.path("/etc/hosts").read_text()


def test_an_install_killed_at_any_moment_is_finished_by_the_next_one(kermpany: Kermpany) -> None:
    """The seed is printed where a round fails: moments are drawn from it."""
    seed = random.SystemRandom().randrange(10**6)
    moments = random.Random(seed)
    for number in range(ROUNDS):
        host = kermpany.lab.host(f"peer{number}")
        file = steps.hand_over(host, steps.invite(kermpany.coordinator, "innerd", host.name, "humans"))
        first = host.start("inn", "install", file, "--name", NETWORK, log="/run/.lab/install")
        time.sleep(moments.uniform(0.15, 0.7))  # the moment of the kill is the point, not something waited for
        steps.kill(host, "inn install")
        first.wait()
        if not host.path(f"/etc/inn/{NETWORK}.toml").exists():
            done = install(host, file)
            assert done.returncode == 0, (seed, number, done.stderr)
        steps.agent(host)
        assert steps.status(host)["is_connected"], (seed, number)
    pinned = json.loads(kermpany.innerd("audit", "--type", "key.pinned", "--json"))["events"]
    assert len({event["subject"] for event in pinned}) == len(pinned) == ROUNDS


def test_the_new_key_is_on_disk_before_the_coordinator_hears_of_it(kermpany: Kermpany) -> None:
    """Whoever is killed right after the redeem finds the key that was redeemed."""
    host = kermpany.lab.host("ryo")
    file = steps.hand_over(host, steps.invite(kermpany.coordinator, "innerd", "ryo", "humans"))
    joining = host.path(f"/var/lib/inn/{NETWORK}/joining.toml")
    first = host.start("inn", "install", file, "--name", NETWORK, log="/run/.lab/install")
    wait_for(joining.exists, "the new key to be on disk")
    assert joining.stat().st_mode & 0o777 == 0o600
    steps.kill(host, "inn install")
    first.wait()
    if not host.path(f"/etc/inn/{NETWORK}.toml").exists():
        assert install(host, file).returncode == 0
    assert not joining.exists()


def test_the_coordinator_killed_while_a_peer_joins_loses_nothing(kermpany: Kermpany) -> None:
    host = kermpany.lab.host("ryo")
    file = steps.hand_over(host, steps.invite(kermpany.coordinator, "innerd", "ryo", "humans"))
    first = host.start("inn", "install", file, "--name", NETWORK, log="/run/.lab/install")
    wait_for(host.path(f"/var/lib/inn/{NETWORK}/joining.toml").exists, "the install to be under way")
    steps.kill(kermpany.coordinator, "innerd serve")
    first.wait()
    steps.serve(kermpany.coordinator)
    if first.returncode:
        assert install(host, file).returncode == 0
    steps.agent(host)
    steps.reaches(host, kermpany.name("innernet-server"))


def test_an_invitation_is_good_for_one_machine(kermpany: Kermpany) -> None:
    one, other = kermpany.lab.host("one"), kermpany.lab.host("other")
    text = steps.invite(kermpany.coordinator, "innerd", "ryo", "humans")
    steps.join(one, text)
    done = install(other, steps.hand_over(other, text))
    assert (done.returncode, refusal(done)) == (8, "invitation_unknown")
    assert "was used, has expired or was replaced" in done.stderr
    assert nothing_left(other)
    steps.reaches(one, kermpany.name("innernet-server"))


def test_two_machines_with_one_invitation_at_once_give_one_peer(kermpany: Kermpany) -> None:
    one, other = kermpany.lab.host("one"), kermpany.lab.host("other")
    text = steps.invite(kermpany.coordinator, "innerd", "ryo", "humans")
    running = [h.start("inn", "install", steps.hand_over(h, text), "--name", NETWORK) for h in (one, other)]
    outcomes = sorted(process.wait(30 * PATIENCE) for process in running)
    assert outcomes[0] == 0
    assert outcomes[1] in (5, 8)
    assert len(json.loads(kermpany.innerd("audit", "--type", "key.pinned", "--json"))["events"]) == 1


def test_an_expired_invitation_is_refused_and_a_new_one_works(kermpany: Kermpany) -> None:
    host = kermpany.lab.host("ryo")
    file = steps.hand_over(
        host, steps.invite(kermpany.coordinator, "innerd", "ryo", "humans", "--invite-expires", "1s")
    )
    wait_for(
        lambda: len(steps.device_keys(kermpany.coordinator)) == 0, "the expired key to leave the coordinator's device"
    )
    done = install(host, file)
    assert (done.returncode, refusal(done)) == (8, "invitation_unknown")
    again = kermpany.innerd("reissue-invite", "--name", "ryo", "--invite-expires", "1h", "--save-config", "-")
    steps.join(host, again)
    steps.reaches(host, kermpany.name("innernet-server"))


def test_a_replaced_invitation_is_void(kermpany: Kermpany) -> None:
    host = kermpany.lab.host("ryo")
    old = steps.hand_over(host, steps.invite(kermpany.coordinator, "innerd", "ryo", "humans"))
    kermpany.innerd("reissue-invite", "--name", "ryo", "--invite-expires", "1h", "--save-config", "-")
    assert install(host, old).returncode == 8


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda text: text[: len(text) // 2], "invitation_unreadable"),
        (lambda text: text.replace("[server]", "[sever]"), "invitation_unreadable"),
        (lambda text: text.replace("private-key", "public-secret"), "invitation_unreadable"),
        (lambda text: "", "invitation_unreadable"),
        (lambda text: "\x00\xff", "invitation_unreadable"),
    ],
    ids=["torn", "section renamed", "key gone", "empty", "binary"],
)
def test_a_broken_invitation_is_named_and_changes_nothing(kermpany: Kermpany, damage, code: str) -> None:  # type: ignore[no-untyped-def]
    host = kermpany.lab.host("ryo")
    text = steps.invite(kermpany.coordinator, "innerd", "ryo", "humans")
    done = install(host, steps.hand_over(host, damage(text)))
    assert (done.returncode, refusal(done)) == (8, code)
    assert nothing_left(host)


def test_out_of_reach_is_told_soon_and_says_what_failed(kermpany: Kermpany) -> None:
    host = kermpany.lab.host("ryo")
    file = steps.hand_over(host, steps.invite(kermpany.coordinator, "innerd", "ryo", "humans"))

    kermpany.lab.unplug("coordinator")
    done = install(host, file)
    assert (done.returncode, refusal(done)) == (5, "tunnel_unreachable")

    kermpany.lab.plug("coordinator")
    steps.kill(kermpany.coordinator, "innerd serve")
    done = install(host, file)
    assert (done.returncode, refusal(done)) == (5, "api_unreachable")

    steps.kill(kermpany.coordinator, "wireguard-go", signal.SIGTERM)
    done = install(host, file)
    assert (done.returncode, refusal(done)) == (5, "tunnel_unreachable")
    assert "nothing listens there" in done.stderr

    steps.serve(kermpany.coordinator)
    assert install(host, file).returncode == 0


def test_a_second_membership_in_one_range_is_refused_and_the_first_goes_on(kermpany: Kermpany) -> None:
    host = kermpany.join("ryo", "humans")
    text = steps.invite(kermpany.coordinator, "innerd", "twin", "humans")
    file = steps.hand_over(host, text, "twin")
    done = install(host, file)
    assert (done.returncode, refusal(done)) == (3, "already_installed")
    done = host.ask("inn", "install", file, "--name", "second", timeout=20)
    assert (done.returncode, refusal(done)) == (3, "range_in_use")
    assert host.ask("ip", "link", "show", "second").returncode != 0
    assert not host.path("/var/lib/inn/second").exists()
    steps.reaches(host, kermpany.name("innernet-server"))


def test_two_networks_of_their_own_ranges_live_on_one_host(kermpany: Kermpany) -> None:
    other = kermpany.lab.host("other")
    steps.found(other, "10.77.0.0/16", name="second")
    other.run("innerd", "add-cidr", "second", "--name", "humans", "--cidr", "10.77.1.0/24", "--parent", "second")
    steps.serve(other, name="second")
    host = kermpany.join("ryo", "humans")
    steps.join(host, steps.invite(other, "innerd", "ryo", "humans", network="second"), network="second")
    steps.reaches(host, "innernet-server.kermpany.wg")
    steps.reaches(host, "innernet-server.second.wg")
    both = steps.asked(host, "inn", "show")["networks"]
    assert [view["interface"] for view in both] == ["kermpany", "second"]


def test_uninstall_leaves_nothing_behind(kermpany: Kermpany) -> None:
    host = kermpany.join("ryo", "humans")
    before = "127.0.0.1 localhost\n"
    assert NETWORK in hosts_file(host)
    host.run("inn", "uninstall", NETWORK, "--yes")
    assert nothing_left(host)
    assert hosts_file(host) == before
    assert not host.path(f"/var/lib/inn/{NETWORK}").exists()
    wait_for(lambda: not host.pids("inn up"), "the agent to end")
