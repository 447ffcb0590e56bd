"""A disk that is full: nothing stops for it, it is said, and what could not be written is written later."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from innclient.agent import store
from innclient.agent.session import Session
from innclient.agent.shelf import Shelf
from innclient.core.pins import Pins
from innerd.domain import commands as c
from innerd.host import files
from tests.client.agents import agent_of, inn
from tests.client.support import eventually, hosts_of, on_device, paths_in, session_of
from tests.client.told import MARI, netmap
from tests.world import INTERFACE, World, key, populated

FULL = os.strerror(errno.ENOSPC)


class Disk:
    """What `files.write_atomically` writes to, while it is not full. `full` may name one file alone."""

    def __init__(self) -> None:
        self.full: bool | str = False
        self.refused: list[str] = []
        self._write, self._append = files.write_atomically, files.append

    def write(self, path: Path, data: bytes, mode: int = 0o600) -> None:
        if self.full is True or self.full == path.name:
            self.refused.append(path.name)
            raise OSError(errno.ENOSPC, FULL, str(path))
        self._write(path, data, mode)

    def append(self, path: Path, data: bytes, mode: int | None = None, *, sync: bool = False) -> int:
        if self.full is True or self.full == path.name:
            self.refused.append(path.name)
            raise OSError(errno.ENOSPC, FULL, str(path))
        return self._append(path, data, mode, sync=sync)


@pytest.fixture
def volume(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk()
    monkeypatch.setattr(files, "write_atomically", made.write)
    monkeypatch.setattr(files, "append", made.append)
    return made


PINS = Pins({"10.42.128.2": key("mari")})


def test_what_could_not_be_written_is_kept_and_written_at_the_next_try(volume: Disk, tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    shelf = Shelf(paths)
    volume.full = True
    shelf.save_netmap(netmap(MARI), 5.0)
    shelf.save_pins(PINS)
    assert shelf.broken == f"{paths.data}: {FULL}"
    shelf.retry()
    assert (shelf.broken, paths.netmap.exists(), paths.pins.exists()) == (f"{paths.data}: {FULL}", False, False)
    volume.full = False
    shelf.retry()
    assert shelf.broken is None
    assert store.load_netmap(paths) == (netmap(MARI), 5.0)
    assert store.load_pins(paths) == PINS


def test_of_several_that_could_not_be_written_the_last_one_is(volume: Disk, tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    shelf = Shelf(paths)
    volume.full = True
    shelf.save_netmap(netmap(MARI), 5.0)
    shelf.save_netmap(netmap(), 6.0)
    volume.full = False
    shelf.retry()
    assert store.load_netmap(paths) == (netmap(), 6.0)


def test_what_was_written_meanwhile_is_not_written_over_by_a_later_try(volume: Disk, tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    shelf = Shelf(paths)
    volume.full = True
    shelf.save_netmap(netmap(MARI), 5.0)
    volume.full = False
    shelf.save_netmap(netmap(), 6.0)
    shelf.retry()
    assert store.load_netmap(paths) == (netmap(), 6.0)


def test_one_file_that_can_not_be_written_is_said_although_the_other_can(volume: Disk, tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    shelf = Shelf(paths)
    volume.full = "pins.json"
    shelf.save_pins(PINS)
    shelf.save_netmap(netmap(MARI), 5.0)
    assert shelf.broken is not None
    assert store.load_netmap(paths) == (netmap(MARI), 5.0)
    volume.full = False
    shelf.retry()
    assert (shelf.broken, store.load_pins(paths)) == (None, PINS)


def test_where_all_is_written_a_try_writes_nothing(volume: Disk, tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    shelf = Shelf(paths)
    shelf.save_pins(PINS)
    paths.pins.unlink()
    shelf.retry()
    assert not paths.pins.exists()


# -- the agent ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def kermpany() -> World:
    return await populated()


async def in_step(kermpany: World) -> None:
    """Until ryo's agent has reported that its device matches the network."""
    ryo = kermpany.peer("ryo").id
    await eventually(lambda: kermpany.presence.applied(ryo) == kermpany.writer.network.revision, "a receipt")


def on_disk(session: Session) -> set[str]:
    return {peer.name for peer in store.load_netmap(session.paths)[0].peers.values()}


async def test_with_a_full_disk_the_device_follows_and_no_receipt_promises_it_until_it_is_written(
    kermpany: World, tmp_path: Path, volume: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port, tick=0.2)
        async with agent_of(session) as task:
            await in_step(kermpany)
            volume.full = True
            await kermpany.associate("humans", "ovens")
            promised = kermpany.writer.network.revision
            await kermpany.do(c.RemovePeer(kermpany.peer("mari").id))
            await eventually(lambda: on_device(session) == {key("coordinator"), key("oven")}, "the device")
            await eventually(lambda: "mari" not in hosts_of(session), "the names")
            assert (kermpany.presence.applied(kermpany.peer("ryo").id) or 0) < promised, "it would not outlive a crash"
            assert ("oven" in hosts_of(session), "mari" in hosts_of(session)) == (True, False)
            assert on_disk(session) == {"innernet-server", "ryo", "mari"}
            status = await inn(session, "status", INTERFACE, "--json")
            assert status.json["disk_error"] == f"{session.paths.data}: {FULL}"
            assert f"DISK: {session.paths.data}: {FULL}" in (await inn(session, "status", INTERFACE)).out
            assert {"netmap.json", "pins.json"} <= set(volume.refused)
            volume.full = False
            await eventually(lambda: session.shelf.broken is None, "written")
            await in_step(kermpany)
            assert on_disk(session) == {"innernet-server", "ryo", "oven"}
            assert store.load_pins(session.paths) == session.pins
            assert (await inn(session, "status", INTERFACE, "--json")).json["disk_error"] is None
            assert not task.done()


async def test_a_disk_that_is_full_from_the_start_keeps_no_agent_from_its_work(
    kermpany: World, tmp_path: Path, volume: Disk
) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        volume.full = True
        async with agent_of(session):
            await eventually(lambda: on_device(session) == {key("coordinator"), key("mari")}, "the device")
            assert not session.paths.netmap.exists()
