"""A real network in namespaces with wireguard-go: joining, changes reaching devices, adding peers over the tunnel.

innernet's own server and client (`make interop` installs them) are the reference, on the same hosts in the same run;
without them the published figures stand in, and are called so.
"""

import asyncio
import contextlib
import os
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import figure, say, spread, title
from innerd.admin.transport import Api, over_socket
from innerd.wireguard import keys
from innerd.wireguard.userspace import UserspaceBackend
from tests.netns import steps
from tests.netns.lab import Host, Lab, lab, wait_for
from tests.netns.steps import NETWORK

ROOT = Path(__file__).parents[1]
INNERNET = ROOT / ".innernet/bin"
PEERS = {"ryo": "humans", "mari": "humans", "toaster": "ovens", "kiln": "ovens", "tama": "cats"}
ROUNDS = 20
SERVER_KEY = "X-Innernet-Server-Key"


def timed_join(host: Host, invitation: str) -> float:
    path = steps.hand_over(host, invitation)
    began = time.monotonic()
    host.run("env", "inn", "install", path, "--name", NETWORK, "-d")  # as installed, not loaded already
    return time.monotonic() - began


async def spread_of_changes(coordinator: Host) -> list[float]:
    """Seconds from an event's own time to the last of the five receipts, for changes that concern all five."""
    api = over_socket(coordinator.path(f"/run/innerd/{NETWORK}.sock"))
    cidrs = {cidr["name"]: cidr["id"] for cidr in await ask(api, "/v1/admin/cidrs")}
    took = []
    for _ in range(ROUNDS):
        body = {"cidr_id_1": cidrs[NETWORK], "cidr_id_2": cidrs["cats"]}
        made = await api.change("POST", "/v1/admin/associations", body)
        took.append(await until_applied(api, made.revision or 0))
        number = (await ask(api, "/v1/admin/associations"))[-1]["id"]
        gone = await api.change("DELETE", f"/v1/admin/associations/{number}")
        took.append(await until_applied(api, gone.revision or 0))
    await api.close()
    return took


async def ask(api: Api, path: str, **params: Any) -> Any:
    return (await api.get(path, **params)).read(object)  # type: ignore[arg-type]


async def until_applied(api: Api, revision: int) -> float:
    while True:
        peers = (await ask(api, "/v1/admin/convergence"))["peers"]
        if all((peer["applied"] or 0) >= revision for peer in peers):
            event = (await ask(api, "/v1/admin/events", after=revision - 1, limit=1))["events"][0]
            written = datetime.fromisoformat(event["at"]).timestamp()
            return max(float(peer["applied_at"]) for peer in peers) - written
        await asyncio.sleep(0.005)


def commands(host: Host, *arguments: str) -> float:
    command = ("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "benchmarks.commands", *arguments)
    return float(host.run(*command, timeout=120))


@contextlib.contextmanager
def on_disk(host: Host, folder: str) -> Iterator[None]:
    """A host's files lie in memory; what must be durable is measured on this machine's disk."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as disk:
        host.path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        host.run("mount", "--bind", disk, folder)
        yield


def ours(made: Lab, coordinator: Host) -> tuple[list[float], list[float], float]:
    steps.found(coordinator, "10.42.0.0/16")
    for name, cidr in (("humans", "10.42.128.0/17"), ("ovens", "10.42.64.0/24"), ("cats", "10.42.3.0/24")):
        coordinator.run("innerd", "add-cidr", NETWORK, "--name", name, "--cidr", cidr, "--parent", NETWORK)
    coordinator.start("innerd", "serve", NETWORK, log="/run/.lab/innerd.log")
    wait_for(lambda: "serves" in steps.said(coordinator, "innerd.log"), "innerd serve")
    joins = []
    for name, cidr in PEERS.items():
        admin = ("--admin", "true") if name == "ryo" else ()
        host = made.host(name)
        joins.append(timed_join(host, steps.invite(coordinator, "innerd", name, cidr, *admin)))
        steps.agent(host)
    steps.converged(coordinator)
    changes = asyncio.run(spread_of_changes(coordinator))
    ryo = made.hosts["ryo"]
    config = tomllib.loads(ryo.path(f"/etc/inn/{NETWORK}.toml").read_text())
    network_id = steps.asked(coordinator, "innerd", "status", NETWORK)["id"]
    rate = commands(
        *(ryo, config["server"]["internal-endpoint"], config["server"]["public-key"]),
        *(config["interface"]["private-key"], network_id),
    )
    return joins, changes, rate


def theirs(made: Lab, server: Host) -> tuple[float, float]:
    """innernet's server and client: seconds to join, peers added a second."""
    server.path("/etc/innernet-server").mkdir(mode=0o700)
    command = str(INNERNET / "innernet-server")
    server.run(
        *(command, "new", "--network-name", "ref", "--network-cidr", "10.42.0.0/16", "--listen-port", "51820"),
        *("--external-endpoint", f"{server.address}:51820"),
    )
    server.run(command, "add-cidr", "ref", "--name", "humans", "--cidr", "10.42.128.0/17", "--parent", "ref", "--yes")
    for name in ("ryo", "mari"):
        server.run(
            *(command, "add-peer", "ref", "--name", name, "--cidr", "humans", "--auto-ip", "--admin", "true"),
            *("--save-config", f"/run/.lab/{name}.toml", "--invite-expires", "1d", "--yes"),
        )
    server.start(command, "serve", "ref", "--backend", "userspace", "--no-write-hosts")
    wait_for(lambda: "10.42.0.1%ref:51820" in server.run("ss", "-lnt"), "innernet-server")
    return reference_join(made, server), reference_commands(made, server)


def reference_join(made: Lab, server: Host) -> float:
    host = made.host("mari2")
    for folder in ("/etc/innernet", "/var/lib/innernet"):
        host.path(folder).mkdir(mode=0o700)
    host.path("/run/.lab/i.toml").write_bytes(server.path("/run/.lab/mari.toml").read_bytes())
    began = time.monotonic()
    client = host.start(
        str(INNERNET / "innernet"), "--backend", "userspace", "install", "i.toml", "--default-name", "-d"
    )
    wait_for(host.path("/run/wireguard/ref.sock").exists, "innernet's device")
    host.path("/run/wireguard/ref.name").write_text("ref\n")
    client.wait(60)
    return time.monotonic() - began


def reference_commands(made: Lab, server: Host) -> float:
    """A peer by hand: redeem, then the key that was redeemed, so that no client of theirs is in the way."""
    host = made.host("ryo2")
    invitation = tomllib.loads(server.path("/run/.lab/ryo.toml").read_text())
    own = keys.generate()
    server_key, api = invitation["server"]["public-key"], invitation["server"]["internal-endpoint"]
    host.run("wireguard-go", "ref")
    backend = UserspaceBackend(host.path("/run/wireguard"))
    key_file = host.path("/run/.lab/key")
    key_file.touch(0o600)
    key_file.write_text(invitation["interface"]["private-key"])
    peer = ("peer", server_key, "allowed-ips", "10.42.0.1/32", "endpoint", f"{server.address}:51820")
    host.run("wg", "set", "ref", "private-key", "/run/.lab/key", *peer)
    host.run("ip", "addr", "add", invitation["interface"]["address"], "dev", "ref")
    host.run("ip", "link", "set", "ref", "mtu", "1280", "up")
    redeem = ("-d", f'{{"public_key":"{keys.public_key(own)}"}}', f"http://{api}/v1/user/redeem")
    host.run("curl", "-sf", "-m", "20", "-H", f"{SERVER_KEY}: {server_key}", *redeem)
    key_file.write_text(own)
    host.run("wg", "set", "ref", "private-key", "/run/.lab/key")
    answers = ("curl", "-sf", "-m", "2", "-H", f"{SERVER_KEY}: {server_key}", f"http://{api}/v1/user/state")
    wait_for(lambda: host.ask(*answers).returncode == 0, "innernet-server to take the new key", 40)
    assert backend.get("ref").peers
    return commands(host, api, server_key)


def run() -> None:
    if os.geteuid() != 0:
        say("\nThe network: skipped, it needs root")
        return
    title("The network (hosts in namespaces, wireguard-go, five peers)")
    with lab() as made, on_disk(made.host("coordinator"), "/var/lib/innerd"):
        joins, changes, rate = ours(made, made.hosts["coordinator"])
    if (INNERNET / "innernet-server").exists():
        with lab() as made, on_disk(made.host("server"), "/var/lib/innernet-server"):
            join, reference = theirs(made, made.hosts["server"])
        note = "innernet here"
    else:
        join, reference, note = 5.1, 217.0, "innernet as published"
    figure(
        "inn install, start of the command to its end",
        spread(joins),
        "<= 1 s",
        f"{note} {join:.1f} s",
        join / max(joins),
    )
    figure("change written to applied on all five devices", spread(changes), "<= 200 ms")
    figure(
        "add-peer over the tunnel, 16 at once",
        f"{rate:,.0f}/s",
        ">= 5x",
        f"{note} {reference:,.0f}/s",
        rate / reference,
    )
