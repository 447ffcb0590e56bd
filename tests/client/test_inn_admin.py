"""Admin verbs of `inn`: over HTTP from the peer's own address, proven with its key, with the errors of the contract."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from innclient import invitation
from innclient.agent.tunnel import Tunnel
from innerd.wireguard.memory import MemoryBackend
from tests.client.commands import Done, Host
from tests.client.support import paths_in, write_config
from tests.world import INTERFACE, World, populated

Inn = Callable[..., Awaitable[Done]]


@pytest.fixture
async def kermpany() -> World:
    made = await populated(proof_required=True)
    made.now = time.time()
    return made


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """No interface is on this machine: what goes through it goes by the loopback."""
    monkeypatch.setattr("innclient.cli.tunnel_of", lambda settings, interface: Tunnel(MemoryBackend(), interface))


@contextlib.asynccontextmanager
async def inn_of(kermpany: World, name: str, folder: Path, *, private_key_of: str | None = None) -> AsyncIterator[Inn]:
    """`inn` on a peer's machine, the coordinator listening."""
    async with kermpany.listening() as port:
        write_config(paths_in(folder), private_key_of or name, str(kermpany.peer(name).ip), port)
        host = Host(folder, "inn")

        async def inn(*args: str) -> Done:
            return await asyncio.to_thread(host, *args)

        yield inn


async def test_an_admin_adds_a_peer_from_his_own_machine(kermpany: World, tmp_path: Path) -> None:
    async with inn_of(kermpany, "ryo", tmp_path) as inn:
        given = ("--name", "nami", "--cidr", "humans", "--auto-ip", "--admin", "false", "--invite-expires", "14d")
        done = await inn("add-peer", INTERFACE, *given, "--save-config", str(tmp_path / "nami.toml"), "--json")
    assert (done.status, done.err) == (0, "")
    assert done.json["peer"]["ip"] == str(kermpany.peer("nami").ip)
    values = invitation.read(tmp_path / "nami.toml")[1]
    assert values.address.ip == kermpany.peer("nami").ip
    assert values.external == "192.0.2.1:51820"  # the coordinator's word, not this client's config


async def test_an_admin_sees_all_peers_and_who_did_what(kermpany: World, tmp_path: Path) -> None:
    async with inn_of(kermpany, "ryo", tmp_path) as inn:
        peers = await inn("list-peers", INTERFACE, "--json")
        assert [p["name"] for p in peers.json["peers"]] == ["innernet-server", "ryo", "mari", "oven", "tama"]
        await inn("rename-cidr", INTERFACE, "--name", "cats", "--new-name", "felines")
        audit = await inn("audit", INTERFACE, "--json")
    last = audit.json["events"][-1]
    assert (last["type"], last["actor_name"], last["origin"]) == ("cidr.renamed", "ryo", str(kermpany.peer("ryo").ip))


async def test_who_is_no_admin_may_not(kermpany: World, tmp_path: Path) -> None:
    async with inn_of(kermpany, "mari", tmp_path) as inn:
        done = await inn("rename-cidr", INTERFACE, "--name", "cats", "--new-name", "felines")
    assert (done.status, done.code, done.out) == (3, "not_admin", "")
    assert kermpany.writer.network.cidr_named("cats")


async def test_an_admins_address_without_his_key_may_not(kermpany: World, tmp_path: Path) -> None:
    async with inn_of(kermpany, "ryo", tmp_path, private_key_of="somebody") as inn:
        done = await inn("rename-cidr", INTERFACE, "--name", "cats", "--new-name", "felines")
    assert (done.status, done.code) == (3, "proof_invalid")
    assert kermpany.writer.network.cidr_named("cats")


async def test_a_refusal_says_the_same_as_on_the_coordinator(kermpany: World, tmp_path: Path) -> None:
    async with inn_of(kermpany, "ryo", tmp_path) as inn:
        done = await inn("delete-cidr", INTERFACE, "--name", "humans", "--yes")
        assert (done.status, done.code) == (3, "cidr_not_empty")
        done = await inn("disable-peer", INTERFACE, "--name", "nobody", "--yes")
        assert (done.status, done.code) == (4, "peer_not_found")


async def test_a_dry_run_changes_nothing(kermpany: World, tmp_path: Path) -> None:
    before = kermpany.writer.network
    async with inn_of(kermpany, "ryo", tmp_path) as inn:
        done = await inn("add-association", INTERFACE, "humans", "ovens", "--dry-run", "--json")
    assert done.json["pairs_gained"] == 2
    assert kermpany.writer.network == before


async def test_an_interface_that_is_down_is_said_so(kermpany: World, tmp_path: Path) -> None:
    async with inn_of(kermpany, "ryo", tmp_path):
        pass  # nobody listens any more
    done = Host(tmp_path, "inn")
    status = await asyncio.to_thread(done, "list-peers", INTERFACE)
    assert (status.status, status.code) == (6, "interface_down")
