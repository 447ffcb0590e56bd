"""The agent of an interface: one at a time, asked through its socket, ended by `down` or a signal."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from innclient.agent import asking, control
from innclient.agent.run import cycle, holding, take_down
from innclient.agent.session import Session
from innclient.agent.views import from_files
from innclient.core.views import NetworkView, StatusView
from innclient.names.publisher import NameSettings
from innclient.paths import Paths
from innerd.failure import SYSTEM, Failure
from tests.client.agents import agent_of, inn
from tests.client.commands import Done
from tests.client.support import eventually, hosts_of, on_device, session_of
from tests.world import INTERFACE, World, key, populated


@pytest.fixture
async def kermpany() -> World:
    return await populated()


async def ask(session: Session, verb: str, shape: type) -> object:
    return await asyncio.to_thread(asking.ask, session.paths.socket, verb, shape)


async def test_who_asks_the_agent_sees_the_network_and_how_it_is(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session):
            await eventually(lambda: session.applied)
            view = await ask(session, "show", NetworkView)
            assert [peer.name for peer in view.peers] == ["innernet-server", "ryo", "mari"]
            assert (view.as_of, view.is_up) == (None, True)
            status = await ask(session, "status", StatusView)
            assert (status.has_agent, status.is_connected, status.backend) == (True, True, "memory")
            assert (status.peers, status.revision, status.applied) == (2, session.applied, session.applied)
            assert await ask(session, "fetch", int) == kermpany.writer.network.revision


async def test_show_and_status_of_the_command_come_from_the_agent(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session):
            await eventually(lambda: session.applied)
            shown = await inn(session, "show", "--json")
            assert (shown.status, shown.err) == (0, "")
            assert [peer["name"] for peer in shown.json["peers"]] == ["innernet-server", "ryo", "mari"]
            assert shown.json["revision"] == session.applied
            assert "peer: mari (" in (await inn(session)).out  # show is the default
            assert "mari" in (await inn(session, "list", "--short")).out
            status = await inn(session, "status", INTERFACE)
            assert status.status == 0
            assert "agent: runs" in status.out


async def test_fetch_puts_right_what_somebody_edited(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session):
            await eventually(lambda: session.applied)
            session.tunnel.forget(key("mari"))
            assert await ask(session, "fetch", int) == kermpany.writer.network.revision
            assert key("mari") in on_device(session)


async def test_what_the_device_refuses_comes_back_to_who_asked(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session):
            await eventually(lambda: session.applied)
            session.tunnel.down()
            with pytest.raises(Failure) as failed:
                await ask(session, "fetch", int)
    assert (failed.value.status, failed.value.code) == (SYSTEM, "interface_down")


async def test_status_ends_with_7_while_a_key_is_refused(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        session.pins.keys[str(kermpany.peer("mari").ip)] = key("mari of old")
        async with agent_of(session):
            await eventually(lambda: session.applied)
            done = await inn(session, "status", INTERFACE, "--json")
            assert done.status == 7
            assert [refused["name"] for refused in done.json["refused"]] == ["mari"]
            shown = await inn(session, "show", "--json")
            assert "mari" not in [peer["name"] for peer in shown.json["peers"]]


async def test_down_takes_interface_and_names_away_and_ends_the_agent(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session) as task:
            await eventually(lambda: session.applied)
            assert (await inn(session, "down", INTERFACE)) == Done(0, f"{INTERFACE} is down.\n", "")
            await task
    assert not session.tunnel.is_up()
    assert "kermpany" not in hosts_of(session)
    assert not session.paths.socket.exists()
    assert session.paths.pins.exists()  # what was learned stays


async def test_a_signal_ends_the_agent_and_the_tunnel_stays(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session) as task:
            await eventually(lambda: session.applied)
            os.kill(os.getpid(), signal.SIGTERM)
            await task
    assert on_device(session) == {key("coordinator"), key("mari")}
    assert "mari" in hosts_of(session)
    assert not session.paths.socket.exists()


# -- the socket -----------------------------------------------------------------------------------------------------


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every local user can reach: pytest's are root's alone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def door_at(path: Path) -> AsyncIterator[list[str]]:
    """A door that answers every verb with its name; the verbs that were asked."""
    asked: list[str] = []

    async def answer(request: asking.Request) -> str:
        asked.append(request.verb)
        return request.verb

    opened = control.ControlSocket(path, answer)
    await opened.open()
    try:
        yield asked
    finally:
        await opened.close()


def ask_as_nobody(path: Path, verb: str) -> bytes:
    """What a local user without rights is answered."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        with socket.socket(socket.AF_UNIX) as agent:
            agent.connect(str(path))
            agent.sendall(b'{"verb":"%s"}\n' % verb.encode())
            os.write(write, agent.recv(1 << 16))
        os._exit(0)
    os.close(write)
    with open(read, "rb") as answer:  # noqa: PTH123 - a pipe has no path
        said = answer.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(("verb", "allowed"), [("show", True), ("status", True), ("down", False), ("fetch", False)])
async def test_everybody_may_look_and_only_root_may_change(public_folder: Path, verb: str, allowed: bool) -> None:
    path = public_folder / "kermpany.sock"
    async with door_at(path) as asked:
        reply = json.loads(await asyncio.to_thread(ask_as_nobody, path, verb))
        assert (reply["code"], asked) == ((None, [verb]) if allowed else ("not_root", []))


@pytest.mark.parametrize("verb", ["show", "down"])
async def test_root_may_ask_for_everything(tmp_path: Path, verb: str) -> None:
    async with door_at(tmp_path / "sock"):
        assert await asyncio.to_thread(asking.ask, tmp_path / "sock", verb, str) == verb


async def test_an_unknown_verb_is_a_usage_error(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session):
            with pytest.raises(Failure) as failed:
                await ask(session, "dance", str)
    assert failed.value.code == "usage"
    assert "dance" in failed.value.message


@pytest.mark.parametrize("line", [b"\xff\xfe\n", b"{}\n", b'{"verb":7}\n', b"x" * 70_000 + b"\n", b""])
async def test_the_door_stays_open_whatever_is_said_at_it(tmp_path: Path, line: bytes) -> None:
    async with door_at(tmp_path / "sock"):
        _, writer = await asyncio.open_unix_connection(tmp_path / "sock")
        writer.write(line)
        writer.close()
        assert await asyncio.to_thread(asking.ask, tmp_path / "sock", "show", str) == "show"


def test_where_no_agent_runs_nobody_answers(tmp_path: Path) -> None:
    assert asking.ask(tmp_path / "sock", "show", str) is None


async def test_a_socket_that_a_killed_agent_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    async with door_at(path):
        (tmp_path / "left").hardlink_to(path)
    (tmp_path / "left").rename(path)
    assert await asyncio.to_thread(asking.ask, path, "show", str) is None
    async with door_at(path):
        assert await asyncio.to_thread(asking.ask, path, "show", str) == "show"


# -- one at a time --------------------------------------------------------------------------------------------------


async def test_one_agent_an_interface(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session):
            again = session_of(kermpany, "ryo", tmp_path, port)
            async with agent_of(again) as second:
                with pytest.raises(Failure) as failed:
                    await second
            assert (failed.value.status, failed.value.code) == (SYSTEM, "interface_busy")
            assert not again.tunnel.is_up()
            assert await ask(session, "status", StatusView)  # the first one's socket is still its own
            with holding(Paths("other", session.paths.config_dir, session.paths.data_dir, session.paths.runtime_dir)):
                pass  # another interface is another matter
            await ask(session, "down", str)  # the second one has taken the signal handlers of this process


def test_the_lock_of_an_interface_is_free_after_an_error(tmp_path: Path) -> None:
    paths = Paths(INTERFACE, tmp_path, tmp_path, tmp_path)
    with pytest.raises(ZeroDivisionError), holding(paths):
        raise ZeroDivisionError
    with holding(paths), pytest.raises(Failure) as failed, holding(paths):
        pass
    assert (failed.value.status, failed.value.code) == (SYSTEM, "interface_busy")


# -- without an agent -----------------------------------------------------------------------------------------------


async def test_without_an_agent_the_files_and_the_device_are_shown(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        await cycle(session)
    view = from_files(session.paths, session.tunnel)
    assert [peer.name for peer in view.peers] == ["innernet-server", "ryo", "mari"]
    assert view.is_up
    assert view.as_of == pytest.approx(session.agent.memory.saved)
    take_down(session.paths, session.tunnel, session.choices.names.path, ())
    again = from_files(session.paths, session.tunnel)
    assert (again.is_up, [peer.name for peer in again.peers]) == (False, ["innernet-server", "ryo", "mari"])


async def test_a_hosts_file_that_is_to_be_left_alone_is(kermpany: World, tmp_path: Path) -> None:
    """Whatever stands in it, however often it is looked after the names."""
    async with kermpany.listening() as port:
        hosts = tmp_path / "hosts"
        names = NameSettings(path=hosts, suffix=None, write=False, dns="none")
        session = session_of(kermpany, "ryo", tmp_path, port, names=names)
        block = f"# DO NOT EDIT innernet {INTERFACE} BEGIN\n# DO NOT EDIT innernet {INTERFACE} END\n"
        hosts.write_text(block)
        async with agent_of(session):
            await eventually(lambda: session.applied)
            await session.names.check(session.netmap, session.membership.believed, anew=False)
        assert hosts.read_text() == block
