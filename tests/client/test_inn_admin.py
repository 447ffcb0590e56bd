"""Admin verbs of `inn`: over HTTP from the peer's own address, proven with its key, with the errors of the contract."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from innclient.agent.shelf import Shelf
from innclient.agent.tunnel import Tunnel
from innclient.core.netmap import KnownCidr, KnownPeer, Netmap
from innclient.verbs import flags
from innerd.admin import invitation
from innerd.command.known import known
from innerd.command.settings import Settings
from innerd.domain.values import parse_address, parse_name, parse_public_key
from innerd.wireguard.memory import MemoryBackend
from tests.client.commands import Done, Host
from tests.client.support import paths_in, write_config
from tests.world import INTERFACE, World, key, populated

Inn = Callable[..., Awaitable[Done]]


@pytest.fixture
async def kermpany() -> World:
    made = await populated(proof_required=True)
    made.now = time.time()
    return made


@pytest.fixture(autouse=True)
def tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coordinator is reached over the loopback, the link of devices in memory."""
    made = Tunnel(MemoryBackend(), INTERFACE)
    monkeypatch.setattr(flags, "tunnel_of", lambda settings, interface: made)


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


def told(folder: Path) -> None:
    """What mari's agent was told of the network."""
    humans, cats = ip_network("127.42.128.0/17"), ip_network("127.42.3.0/24")
    root = ip_network("127.42.0.0/16")
    cidrs = [KnownCidr(id=1, name=INTERFACE, range=root, parent=None)]
    cidrs += [
        KnownCidr(id=3, name="humans", range=humans, parent=1),
        KnownCidr(id=5, name="cats", range=cats, parent=1),
    ]
    mari = KnownPeer(
        id=3,
        name=parse_name("mari"),
        ip=parse_address("127.42.128.2"),
        cidr_id=3,
        public_key=parse_public_key(key("mari")),
        endpoint=None,
        is_admin=False,
    )
    netmap = Netmap(network=INTERFACE, me=3, revision=7, peers={3: mari}, cidrs={cidr.id: cidr for cidr in cidrs})
    Shelf(paths_in(folder)).save_netmap(netmap, 1.0)


CIDRS = [(INTERFACE, None, 0), ("humans", INTERFACE, 1), ("cats", INTERFACE, 0)]


async def test_who_is_no_admin_is_shown_the_cidrs_that_it_was_told_of(kermpany: World, tmp_path: Path) -> None:
    async with inn_of(kermpany, "mari", tmp_path) as inn:
        assert (await inn("list-cidrs", INTERFACE)).code == "not_admin", "where nothing was told yet"
        told(tmp_path)
        done = await inn("list-cidrs", INTERFACE, "--json")
        tree = await inn("list-cidrs", INTERFACE, "--tree")
    assert (done.status, done.err) == (0, "")
    assert [(cidr["name"], cidr["parent"], cidr["peers"]) for cidr in done.json["cidrs"]] == CIDRS
    assert done.json["revision"] == 7
    assert "127.42.128.0/17 humans" in tree.out


async def test_who_is_no_admin_is_told_of_no_associations_and_what_helps(kermpany: World, tmp_path: Path) -> None:
    async with inn_of(kermpany, "mari", tmp_path) as inn:
        told(tmp_path)
        done = await inn("list-associations", INTERFACE)
    assert (done.status, done.code, done.out) == (3, "not_admin", "")
    assert "inn why" in done.err


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


OF_ONESELF = {
    "disable-peer": ("only another administrator can let it in again", 'Peer "ryo" is disabled.'),
    "retire-peer": ("for good", 'Peer "ryo" is retired.'),
    "revoke-admin": ("only another administrator can give it the rights", 'Peer "ryo" is no admin.'),
}


@pytest.mark.parametrize("verb", OF_ONESELF)
async def test_who_takes_itself_out_is_told_before_what_it_means_and_after_that_it_is_done(
    kermpany: World, tmp_path: Path, verb: str
) -> None:
    meaning, sentence = OF_ONESELF[verb]
    async with inn_of(kermpany, "ryo", tmp_path) as inn:
        done = await inn(verb, INTERFACE, "--name", "ryo", "--yes", "--wait=5")
    assert (done.status, done.out) == (0, sentence + "\n"), done
    before, after = done.err.splitlines()
    assert before.startswith('"ryo" is this machine: ')
    assert meaning in before
    assert "nobody was waited for" in after


async def test_of_another_peer_nothing_of_the_kind_is_said(kermpany: World, tmp_path: Path) -> None:
    async with inn_of(kermpany, "ryo", tmp_path) as inn:
        done = await inn("disable-peer", INTERFACE, "--name", "mari", "--yes")
    assert (done.status, done.err) == (0, "")


async def test_a_coordinator_that_starts_anew_is_waited_for(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        write_config(paths_in(tmp_path), "ryo", str(kermpany.peer("ryo").ip), port)
    host = Host(tmp_path, "inn")  # the port is known, and nobody listens there
    asking = asyncio.create_task(asyncio.to_thread(host, "list-peers", INTERFACE, "--json"))
    done, _ = await asyncio.wait([asking], timeout=1)
    assert not done
    async with kermpany.listening(port):
        assert (await asking).status == 0


@pytest.mark.parametrize("time", ["0d", "0s", "soon", "36501d"])
async def test_an_invitation_that_is_good_for_no_time_is_refused(kermpany: World, tmp_path: Path, time: str) -> None:
    async with inn_of(kermpany, "ryo", tmp_path) as inn:
        given = ("--name", "nami", "--cidr", "humans", "--auto-ip", "--admin", "false", "--invite-expires", time)
        done = await inn("add-peer", INTERFACE, *given, "--save-config", str(tmp_path / "nami.toml"))
    assert (done.status, done.code) == (2, "invalid_duration")
    assert not (tmp_path / "nami.toml").exists()


async def test_a_shell_is_offered_the_disabled_too_once_an_administrator_has_looked(
    kermpany: World, tmp_path: Path
) -> None:
    data = paths_in(tmp_path).data
    data.mkdir(parents=True)
    async with inn_of(kermpany, "ryo", tmp_path) as inn:
        done = await inn("disable-peer", INTERFACE, "--name", "mari", "--yes")
    assert (done.status, done.err) == (0, "")
    (data / "netmap.json").write_text('{"peers": [{"name": "ryo"}], "cidrs": []}')
    settings = Settings("inn", "/etc/inn", str(tmp_path / "lib"), "/run/inn")
    assert {"mari", "ryo", "oven"} <= set(known(settings, INTERFACE, "peers"))
    (data / "names.json").unlink()
    assert known(settings, INTERFACE, "peers") == ["ryo"]
