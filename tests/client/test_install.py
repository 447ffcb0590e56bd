"""Joining: through the temporary key to one's own, and a kill at any point loses nothing.

The tunnel is the real one over a device in memory; whether a handshake is answered is decided by what the
coordinator's log knows, as its WireGuard would.
"""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from innclient import config
from innclient.agent.tunnel import Making, Tunnel
from innclient.config import AgentSection
from innclient.join import install
from innerd.admin.invitation import InterfaceSection, Invitation, Parsed, ServerSection, check
from innerd.domain import commands as c
from innerd.failure import Failure
from innerd.log.codec import Who
from innerd.wireguard import keys
from innerd.wireguard.memory import MemoryBackend
from innerd.wireguard.plan import Change
from tests.client.support import COORDINATOR, paths_in
from tests.world import INTERFACE, World, key, populated, private_key


class Answered(MemoryBackend):
    """A device in memory whose handshakes with the coordinator are answered where it knows the device's key."""

    def __init__(self, knows: Callable[[str], bool]) -> None:
        super().__init__()
        self._knows = knows

    def apply(self, interface: str, changes: Sequence[Change]) -> None:
        super().apply(interface, changes)
        device = self.get(interface)
        if device.private_key and self._knows(keys.public_key(device.private_key)):
            self.hear(interface, key("coordinator"), 1.0)


class Machine:
    """A machine with an invitation for a peer of a world that listens on a port."""

    def __init__(self, world: World, name: str, port: int, folder: Path, external: str = "127.0.0.1:9") -> None:
        self.paths = paths_in(folder)
        self.world, self.name = world, name
        self.backend = Answered(self.knows)
        self.invitation = Invitation(
            interface=InterfaceSection(
                network_name=INTERFACE,
                address=f"{world.peer(name).ip}/16",
                private_key=private_key(f"{name} invitation"),
            ),
            server=ServerSection(
                public_key=key("coordinator"), external_endpoint=external, internal_endpoint=f"{COORDINATOR}:{port}"
            ),
        )
        self.remembers_temporary = True  # the coordinator's device, for a while after a redeem

    def knows(self, public_key: str) -> bool:
        known = {peer.public_key for peer in self.world.writer.network.peers.values()}
        temporary = {key(f"{self.name} invitation")} if self.remembers_temporary else set()
        return public_key in known | temporary

    @property
    def values(self) -> Parsed:
        return check(self.invitation.interface, self.invitation.server)

    async def join(self) -> None:
        """`inn install` from the invitation on; a new process each time."""
        tunnel = Tunnel(self.backend, INTERFACE)
        await install.join(
            self.paths, self.invitation, self.values, tunnel, Making(mtu=1280), AgentSection(), lambda text: None
        )

    async def refused(self) -> Failure:
        with pytest.raises(Failure) as failed:
            await self.join()
        return failed.value

    @property
    def own_key(self) -> str:
        return config.load(self.paths).values.private_key

    def left(self) -> list[Path]:
        return [path for path in self.paths.config_dir.parent.rglob("*") if path.is_file()]


@pytest.fixture
async def kermpany() -> World:
    made = await populated()
    await made.invite("nami", "humans", expires=int(made.now) + 3600)
    return made


@contextlib.asynccontextmanager
async def machine(world: World, folder: Path, **kwargs: Any) -> AsyncIterator[Machine]:
    async with world.listening() as port:
        yield Machine(world, "nami", port, folder, **kwargs)


def before_redeem(world: World, act: Callable[[bytes], Any], *, answer: bool = True) -> None:
    """Put something in front of the redeem route: `act` sees the body; without `answer` the answer is lost."""
    app = world.app

    async def around(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/v1/user/redeem":
            await app(scope, receive, send)
            return
        message = await receive()

        async def again() -> Any:
            return message

        async def nowhere(message: Any) -> None:
            pass

        if answer:
            act(message["body"])
            await app(scope, again, send)
            return
        await app(scope, again, nowhere)
        act(message["body"])
        while (await receive())["type"] != "http.disconnect":
            pass

    world.app = around


async def test_an_invitation_becomes_a_peer_with_a_key_of_its_own(kermpany: World, tmp_path: Path) -> None:
    async with machine(kermpany, tmp_path) as nami:
        await nami.join()
        assert kermpany.peer("nami").is_redeemed
        assert kermpany.peer("nami").public_key == keys.public_key(nami.own_key)
        device = nami.backend.get(INTERFACE)
        assert device.private_key == nami.own_key
        assert nami.backend.links[INTERFACE][0] == f"{kermpany.peer('nami').ip}/16"
        assert [path.name for path in nami.left()] == [f"{INTERFACE}.toml"]


async def test_the_new_key_is_on_disk_before_anybody_hears_of_it(kermpany: World, tmp_path: Path) -> None:
    seen: list[bool] = []
    async with machine(kermpany, tmp_path) as nami:

        def act(body: bytes) -> None:
            written = nami.paths.joining.read_text().split('private-key = "')[1][:44]
            seen.append(keys.public_key(written) == msgspec.json.decode(body)["public_key"])
            seen.append(nami.paths.joining.stat().st_mode & 0o777 == 0o600)

    before_redeem(kermpany, act)
    async with machine(kermpany, tmp_path) as nami:
        await nami.join()
    assert seen == [True, True]


async def killed_at_the_answer(kermpany: World, folder: Path) -> str:
    """The first `inn install`: redeemed, and killed before it heard of it. The key that it made."""
    app, committed = kermpany.app, asyncio.Event()
    before_redeem(kermpany, lambda body: committed.set(), answer=False)
    async with machine(kermpany, folder) as nami:
        task = asyncio.create_task(nami.join())
        async with asyncio.timeout(10):
            await committed.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        kermpany.app = app
        assert not nami.paths.config.exists()
        return install.begin(nami.paths, nami.values)


async def test_after_a_lost_answer_the_same_key_joins_when_run_again(kermpany: World, tmp_path: Path) -> None:
    made = await killed_at_the_answer(kermpany, tmp_path)
    assert kermpany.peer("nami").is_redeemed
    async with machine(kermpany, tmp_path) as nami:
        await nami.join()
        assert nami.own_key == made
        assert not nami.paths.joining.exists()


async def test_an_interrupted_try_takes_its_interface_down_and_keeps_its_key(kermpany: World, tmp_path: Path) -> None:
    made = await killed_at_the_answer(kermpany, tmp_path)
    async with machine(kermpany, tmp_path) as nami:
        assert not nami.backend.exists(INTERFACE)
        assert made in nami.paths.joining.read_text()


async def test_an_interface_that_a_killed_try_makes_even_now_is_taken_up(kermpany: World, tmp_path: Path) -> None:
    """A daemon of user space lives on when its installation is killed, and makes the interface after the next look."""
    async with machine(kermpany, tmp_path) as nami:
        install.begin(nami.paths, nami.values)
        looks, exists = itertools.count(), nami.backend.exists

        def late(interface: str) -> bool:
            if next(looks) == 1:
                nami.backend.create(interface)
            return exists(interface)

        nami.backend.exists = late  # type: ignore[method-assign]
        await nami.join()
        assert nami.backend.owner(INTERFACE).startswith("inn ")


REFUSALS = {
    "expired": ("invitation_expired", 4000.0, []),
    "disabled": ("invitation_refused", 0.0, ["disable"]),
    "used by somebody else": ("invitation_used", 0.0, ["use"]),
}


@pytest.mark.parametrize(("code", "later", "deeds"), REFUSALS.values(), ids=REFUSALS)
async def test_an_invitation_that_is_no_good_ends_with_8_and_leaves_nothing_behind(
    kermpany: World, tmp_path: Path, code: str, later: float, deeds: list[str]
) -> None:
    nami_id = kermpany.peer("nami").id
    for deed in deeds:
        other = Who(f"peer:{nami_id}", "")
        await kermpany.do(
            c.DisablePeer(nami_id) if deed == "disable" else c.Redeem(nami_id, key("somebody")),
            other if deed == "use" else Who("local:root", "socket"),
        )
    kermpany.now += later
    async with machine(kermpany, tmp_path) as nami:
        failure = await nami.refused()
        assert (failure.status, failure.code) == (8, code)
        assert nami.left() == []
        assert not nami.backend.exists(INTERFACE)


async def test_a_refusal_in_a_second_try_keeps_the_key_which_may_be_somebodys(kermpany: World, tmp_path: Path) -> None:
    made = await killed_at_the_answer(kermpany, tmp_path)
    await kermpany.do(c.DisablePeer(kermpany.peer("nami").id))
    async with machine(kermpany, tmp_path) as nami:
        assert (await nami.refused()).status == 8
        assert made in nami.paths.joining.read_text()


async def test_another_installation_under_way_is_not_written_over(kermpany: World, tmp_path: Path) -> None:
    async with machine(kermpany, tmp_path) as nami:
        made = install.begin(nami.paths, nami.values)
        nami.invitation.interface.address = "127.42.128.99/16"
        failure = await nami.refused()
        assert (failure.status, failure.code) == (3, "installation_pending")
        assert made in nami.paths.joining.read_text()
        assert not kermpany.peer("nami").is_redeemed


async def test_a_network_that_is_here_already_is_not_written_over(kermpany: World, tmp_path: Path) -> None:
    async with machine(kermpany, tmp_path) as nami:
        await nami.join()
        before = nami.own_key
        failure = await nami.refused()
        assert (failure.status, failure.code) == (3, "already_installed")
        assert nami.own_key == before
        assert nami.backend.exists(INTERFACE)


async def test_somebody_elses_interface_is_left_alone(kermpany: World, tmp_path: Path) -> None:
    async with machine(kermpany, tmp_path) as nami:
        nami.backend.create(INTERFACE)
        failure = await nami.refused()
        assert (failure.status, failure.code) == (6, "interface_taken")
        assert nami.backend.exists(INTERFACE)
        assert nami.backend.applied == []
        assert nami.left() == []


async def test_a_coordinator_whose_name_does_not_resolve_is_said_so(kermpany: World, tmp_path: Path) -> None:
    async with machine(kermpany, tmp_path, external="nowhere.invalid:51820") as nami:
        failure = await nami.refused()
        assert (failure.status, failure.code) == (5, "name_unresolved")


# -- when no handshake is answered: each of these waits for one as long as a person would ---------------------------


async def nobody_listens(world: World, folder: Path) -> None:
    async with machine(world, folder, external="127.0.0.1:9") as nami:
        nami.remembers_temporary = False
        await world.do(c.RemovePeer(world.peer("nami").id))
        failure = await nami.refused()
        assert (failure.status, failure.code) == (5, "tunnel_unreachable")
        assert nami.left() == []  # the new key was never sent: it can be nobody's


async def invitation_is_dead(world: World, folder: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        async with machine(world, folder, external=f"127.0.0.1:{silent.getsockname()[1]}") as nami:
            nami.remembers_temporary = False
            await world.do(c.RemovePeer(world.peer("nami").id))
            failure = await nami.refused()
            assert failure.status == 8
            assert nami.left() == []


async def answer_was_lost_long_ago(world: World, folder: Path) -> None:
    made = await killed_at_the_answer(world, folder)
    async with machine(world, folder) as nami:
        nami.remembers_temporary = False
        await nami.join()
        assert nami.own_key == made


async def test_when_the_temporary_key_gets_no_answer_what_can_be_known_is_told_and_tried(tmp_path: Path) -> None:
    async def with_a_world(scene: Any) -> None:
        made = await populated()
        await made.invite("nami", "humans", expires=int(made.now) + 3600)
        folder = tmp_path / scene.__name__
        folder.mkdir()
        await scene(made, folder)

    scenes = [nobody_listens, invitation_is_dead, answer_was_lost_long_ago]
    outcomes = await asyncio.gather(*(with_a_world(scene) for scene in scenes), return_exceptions=True)
    assert dict(zip([s.__name__ for s in scenes], outcomes, strict=True)) == {s.__name__: None for s in scenes}


async def test_what_can_not_be_written_is_found_before_the_invitation_is_spent(kermpany: World, tmp_path: Path) -> None:
    async with machine(kermpany, tmp_path) as nami:
        folder = nami.paths.config_dir
        nami.paths = replace(nami.paths, config_dir=Path("/proc/inn"))  # where nobody makes a folder
        with pytest.raises(OSError, match="/proc/inn"):
            await nami.join()
        assert not kermpany.peer("nami").is_redeemed
        assert not nami.backend.exists(INTERFACE)
        nami.paths = replace(nami.paths, config_dir=folder)
        assert nami.left() == []
        await nami.join()
        assert kermpany.peer("nami").is_redeemed
        assert [path.name for path in nami.left()] == [nami.paths.config.name]
