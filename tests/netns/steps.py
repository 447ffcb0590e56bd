"""What people do on the hosts of a lab, as functions: found a network, serve it, invite, join, look, reach.

Everything goes through the two commands, as a user would type them; what is waited for is a revision, a key on a
device or a line that a command prints, never a time.
"""

import json
import os
import signal
from collections.abc import Iterable
from typing import Any

from innerd.wireguard.device import DeviceError
from innerd.wireguard.userspace import UserspaceBackend
from tests.netns.lab import Failed, Host, wait_for
from tests.netns.loaded import Begun

NETWORK = "kermpany"
INVITATION = "/run/.lab/{}.toml"


def found(host: Host, cidr: str, *, name: str = NETWORK, endpoint: str | None = None, port: int = 51820) -> None:
    """`innerd new` on a host, reached at its IPv4 address unless told otherwise."""
    endpoint = endpoint or f"{host.address}:{port}"
    host.run(
        *("innerd", "new", "--network-name", name, "--network-cidr", cidr),
        *("--external-endpoint", endpoint, "--listen-port", str(port)),
    )


def serve(host: Host, *flags: str, name: str = NETWORK) -> Begun:
    """`innerd serve`, and return when it says that it serves."""
    before = said(host, "innerd.log")
    process = host.begin("innerd", "serve", name, *flags, log="/run/.lab/innerd.log")

    def ready() -> bool:
        assert process.poll() is None, f"innerd serve ended: {said(host, 'innerd.log')}"
        return f'serves "{name}"' in said(host, "innerd.log")[len(before) :]

    wait_for(ready, f"innerd serve {name}")
    return process


def said(host: Host, log: str) -> str:
    """What a process has written to its log on a host."""
    path = host.path(f"/run/.lab/{log}")
    return path.read_text() if path.exists() else ""


def kill(host: Host, pattern: str, number: signal.Signals = signal.SIGKILL) -> None:
    """End the processes of a host whose command line has a pattern; another may be in their place when it returns."""
    ended = set(host.pids(pattern))
    for pid in ended:
        host.run("kill", f"-{number.name}", str(pid), status=None)
    wait_for(lambda: not ended & set(host.pids(pattern)), f"{pattern} to end on {host.name}")


def invite(by: Host, program: str, name: str, cidr: str, *flags: str, network: str = NETWORK) -> str:
    """`add-peer` by the coordinator's command or an administrator's; the invitation's text."""
    expires = () if "--invite-expires" in flags else ("--invite-expires", "14d")
    address = () if "--ip" in flags else ("--auto-ip",)
    admin = () if "--admin" in flags else ("--admin", "false")
    return by.run(
        *(program, "add-peer", network, "--name", name, "--cidr", cidr, "--save-config", "-", "--yes"),
        *(*address, *admin, *expires, *flags),
    )


def hand_over(host: Host, invitation: str, name: str = NETWORK) -> str:
    """Put an invitation on a host; its path there."""
    path = INVITATION.format(name)
    host.path(path).write_text(invitation)
    return path


def join(host: Host, invitation: str, *flags: str, network: str = NETWORK) -> None:
    """`inn install` and the agent, until it is connected and has applied what it was told."""
    host.run("inn", "install", hand_over(host, invitation, network), "--name", network, "-d")
    agent(host, *flags, network=network)


def agent(host: Host, *flags: str, network: str = NETWORK) -> Begun:
    process = host.begin("inn", "up", "-d", network, *flags, log="/run/.lab/inn.log")

    def ready() -> bool:
        assert process.poll() is None, f"inn up -d ended: {said(host, 'inn.log')}"
        if not host.path(f"/run/inn/{network}.sock").exists():
            return False
        found = status(host, network)  # of the files, where the socket is one that a killed agent left behind
        return bool(found["has_agent"] and found["is_connected"] and found["applied"] == found["revision"] > 0)

    wait_for(ready, f"the agent of {host.name}")
    return process


def asked(host: Host, *command: str) -> dict[str, Any]:
    """The JSON document of a command."""
    document = json.loads(host.run(*command, "--json"))
    assert isinstance(document, dict)
    return document


def status(host: Host, network: str = NETWORK) -> dict[str, Any]:
    """Whatever it ends with: who was shut out is told so by the exit status too."""
    done = host.ask("inn", "status", network, "--json")
    if not done.stdout:
        raise Failed(f"{host.name}$ inn status {network}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def shown(host: Host, network: str = NETWORK) -> dict[str, dict[str, Any]]:
    """The peers of `inn show`, by name."""
    return {peer["name"]: peer for peer in asked(host, "inn", "show", network)["peers"]}


def revision(coordinator: Host, network: str = NETWORK) -> int:
    return int(asked(coordinator, "innerd", "status", network)["revision"])


def converged(coordinator: Host, network: str = NETWORK, seconds: float = 20) -> None:
    """Wait until every peer that streams has reported everything that concerns it."""

    def done() -> bool:
        peers = asked(coordinator, "innerd", "convergence", network)["peers"]
        return all(peer["state"] in ("current", "offline", "polling") for peer in peers)

    wait_for(done, "all peers to have applied the newest change", seconds)


def device_keys(host: Host, interface: str = NETWORK) -> set[str]:
    """The public keys on a host's device, read from the device itself."""
    try:
        backend = UserspaceBackend(host.path("/run/wireguard"))
        return set(backend.get(interface).peers)
    except DeviceError:
        return set(host.run("wg", "show", interface, "peers", status=None).split())


def own_key(host: Host, network: str = NETWORK) -> str:
    return str(status(host, network)["public_key"])


def own_key_of_coordinator(host: Host, network: str = NETWORK) -> str:
    peers = asked(host, "innerd", "list-peers", network)["peers"]
    return next(str(peer["public_key"]) for peer in peers if peer["id"] == 1)


def pings(host: Host, target: str, *, wait: int = 1) -> bool:
    """Whether one of a few pings is answered."""
    return host.ask("ping", "-c", "1", "-W", str(wait), target).returncode == 0


def reaches(host: Host, target: str, seconds: float = 10) -> None:
    """Wait until a name or address answers. A first packet may be lost to the handshake that it starts."""
    wait_for(lambda: pings(host, target), f"{host.name} to reach {target}", seconds)


def resolves(host: Host, name: str) -> str | None:
    """The address of a name by the host's own resolver (its hosts file), or None."""
    found = host.ask("getent", "hosts", name).stdout.split()
    return found[0] if found else None


def answered(host: Host, server: str, name: str, kind: str = "A") -> tuple[str, list[str]]:
    """What DNS says to this host: the status and the answers' data."""
    text = host.run("dig", f"@{server}", name, kind, "+noall", "+comments", "+answer", "+tries=2", "+timeout=2")
    outcome = text.partition("status: ")[2].partition(",")[0]
    answers = [line.split()[-1] for line in text.splitlines() if line and not line.startswith(";")]
    return outcome, answers


def everybody_reaches(hosts: Iterable[Host], names: Iterable[str]) -> None:
    for host in hosts:
        for name in names:
            if name != host.name:
                reaches(host, name)


def is_root() -> bool:
    return os.geteuid() == 0
