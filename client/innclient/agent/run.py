"""One interface, run or looked at: the agent (`up -d`), one cycle (`up`, `fetch`), and what the files say."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import structlog

from innclient import config
from innclient.agent import store, views
from innclient.agent.asking import Request, ask_agent
from innclient.agent.control import ControlSocket
from innclient.agent.metrics import export
from innclient.agent.session import Session
from innclient.agent.tunnel import Tunnel
from innclient.config import Loaded
from innclient.core.changes import Entry
from innclient.core.connection import Denied, Ended, Lost
from innclient.core.netmap import LogForked
from innclient.core.status import checkpoints_view, shut_out
from innclient.core.views import StatusView
from innclient.names import resolver
from innclient.paths import Paths
from innerd.failure import REFUSED, SYSTEM, TRUST, UNREACHABLE, Failure, status_of_code, unreachable, usage
from innerd.host import files, hostsfile
from innerd.host.firewall import to_serve
from innerd.host.reachability import pings
from innerd.host.systemd import keep_told, keep_watched
from innerd.relay.kernel import clear
from innerd.wire.stream import SHUT_OUT
from innerd.wireguard.device import DeviceError, NoSuchDevice

_log = structlog.get_logger("agent")
_CYCLE = 10.0  # seconds for one cycle
_FOLLOW = 10.0  # seconds that an answer waits for something to happen


@contextlib.contextmanager
def holding(paths: Paths) -> Iterator[None]:
    """The lock of an interface, held while its device, state or names are touched. Raises Failure."""
    try:
        lock = files.locked(paths.lock)
        lock.__enter__()
    except files.Locked:
        raise Failure(
            SYSTEM,
            "interface_busy",
            f"another inn works on {paths.interface} at this moment",
            "if it is the agent, stop it first (inn down, or its service)",
        ) from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


async def cycle(session: Session) -> None:
    """Once: connect, take everything, apply, report. Raises Failure where the coordinator can't be reached; what
    was known is applied all the same."""
    await session.bring_up()
    try:
        async with asyncio.timeout(_CYCLE):
            await session.follow(once=True)
            await session.settle(reports=True)
    except (Lost, TimeoutError) as error:
        raise await why_unreachable(session.paths, session.tunnel, session.loaded, str(error)) from error
    except Ended as error:
        status = REFUSED if error.reason in SHUT_OUT else UNREACHABLE
        raise Failure(status, "stream_ended", str(error)) from error
    except Denied as error:
        raise Failure(status_of_code(error.code), error.code, error.message) from error
    except LogForked as error:
        raise Failure(TRUST, "log_forked", str(error), "ask your administrator before you go on") from error
    finally:
        await session.settle(reports=False)
        await session.close()
    if session.shelf.broken is not None:
        raise Failure(SYSTEM, "os_error", f"applied, but it can't be written down: {session.shelf.broken}")


async def why_unreachable(paths: Paths, tunnel: Tunnel, loaded: Loaded, why: str = "") -> Failure:
    """Which it is: this machine was shut out, the tunnel to the coordinator is dead, or the API in it."""
    values = loaded.values
    reason = await asyncio.to_thread(_shut_out, paths)
    if reason is not None:
        return shut_out(reason, str(values.address.ip))
    try:
        device = await asyncio.to_thread(tunnel.get)
    except NoSuchDevice as error:
        return Failure(SYSTEM, error.code, error.message, error.hint)
    entry = device.peers.get(values.server_key)
    hint = "check that the coordinator is up and its UDP port reachable from here"
    if entry is None or entry.last_handshake is None or time.time() - entry.last_handshake > 180:
        what = f"{values.external} (UDP) answers no handshake"
        return unreachable(f"the tunnel to the coordinator is dead: {what}", hint, "tunnel_unreachable")
    if not await asyncio.to_thread(pings, values.internal_address, tunnel.link):
        ago = time.time() - entry.last_handshake
        what = f"its last handshake was {ago:.0f} s ago, and now nothing answers in it, not even a ping"
        return unreachable(f"the tunnel to the coordinator fell silent: {what}", hint, "tunnel_unreachable")
    return unreachable(
        f"the tunnel is up, but the coordinator's API at {values.internal_address} does not answer"
        + (f" ({why})" if why else ""),
        to_serve(values.network, values.internal_port),
        "api_unreachable",
    )


def _shut_out(paths: Paths) -> str | None:
    """Why this machine is no peer, as its agent was told last; without an agent, the files."""
    with contextlib.suppress(Failure):  # what can't be asked or read is said elsewhere
        told = ask_agent(paths, "status", StatusView)
        return store.load_netmap(paths)[0].shut_out if told is None else told.shut_out
    return None


async def agent(sessions: list[Session], ready: Callable[[], Awaitable[None]]) -> None:
    """Keep interfaces up until SIGTERM, or until `inn down` has taken the last one away. Tunnels stay.

    An interface that can't be brought up does not hinder the others; the agent ends with its failure when no other
    is left.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    begun: list[asyncio.Future[bool]] = [loop.create_future() for _ in sessions]
    tasks = [asyncio.create_task(_keep(session, up)) for session, up in zip(sessions, begun, strict=True)]
    greeting = asyncio.create_task(_when_all(begun, ready))
    watched = asyncio.create_task(keep_watched())
    told = asyncio.create_task(keep_told(lambda: "; ".join(map(views.headline, sessions))))
    stopped: asyncio.Task[Any] = asyncio.create_task(stopping.wait())
    pending: set[asyncio.Task[Any]] = {*tasks}
    try:
        while pending and not stopped.done():
            done, pending = await asyncio.wait({*pending, stopped}, return_when=asyncio.FIRST_COMPLETED)
            pending.discard(stopped)
            for task in done - {stopped}:
                if task.exception() is not None and pending:
                    _log.error("an interface is given up", error=str(task.exception()))
    except asyncio.CancelledError:
        await _ended(*tasks, stopped, greeting, watched, told)
        raise
    for outcome in await _ended(*tasks, stopped, greeting, watched, told):
        if isinstance(outcome, Exception):
            raise outcome


async def _ended(*tasks: asyncio.Task[Any]) -> list[Any]:
    """Cancel tasks and wait for them; what became of each."""
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def _when_all(begun: list[asyncio.Future[bool]], ready: Callable[[], Awaitable[None]]) -> None:
    """Who is up though none of its interfaces is, is not ready: it ends with what was in the way."""
    if any(await asyncio.gather(*map(asyncio.shield, begun))):  # who gives up waiting takes nobody's word away
        await ready()


async def _keep(session: Session, begun: asyncio.Future[bool]) -> None:
    """One interface until it is taken down through its socket; `begun` says whether it came up."""
    down = asyncio.Event()
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def answer(request: Request) -> Any:
        match request.verb:
            case "show":
                return await views.show(session)
            case "status":
                return await views.status(session)
            case "checkpoints":
                return checkpoints_view(session.paths.interface, session.netmap, session.membership.witnessed)
            case "events":
                return await _events(session, request)
            case "reload":
                await session.reload(config.load(session.paths))
                return True
            case "trust":
                return await session.trust(request.who, request.key)
            case "down":
                down.set()
                await asyncio.shield(finished)
                return "down"
            case "fetch":
                if session.netmap.shut_out is not None:
                    raise shut_out(session.netmap.shut_out, str(session.loaded.values.address.ip))
                if not session.is_connected:
                    trouble = views.trouble_of(session) or "connecting"
                    raise unreachable(f"the agent has no connection to the coordinator: {trouble}")
                await session.apply()
                return session.netmap.revision
        raise usage(f'the agent knows no verb "{request.verb[:40]}"')

    control = ControlSocket(session.paths.socket, answer, session.paths.data)
    with holding(session.paths):
        session.names.serve()
        try:
            await session.bring_up()
            await control.open()
        except BaseException:
            begun.set_result(False)
            raise
        begun.set_result(True)
        running, exporting = asyncio.create_task(session.run()), asyncio.create_task(export(session))
        downed = asyncio.create_task(down.wait())
        try:
            await asyncio.wait((running, downed), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await running  # a bug: it never ends by itself
            session.names.leave()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            try:
                await asyncio.to_thread(_take_down, session)
            except (Failure, DeviceError) as error:
                finished.set_exception(error)
            else:
                finished.set_result(None)
            await asyncio.sleep(0.05)  # the answer to `down` leaves before the socket does
        finally:
            await _ended(running, downed, exporting)
            await control.close()


def take_down(paths: Paths, tunnel: Tunnel, hosts: Path, private_keys: Iterable[str]) -> None:
    """Interface, names, and what the host's resolver was told away. Raises DeviceError where the interface is somebody
    else's, Failure where the names can't be taken out of the hosts file."""
    keys = tuple(private_keys)
    tunnel.refuse_foreign(keys)
    resolver.undo(paths.resolver)  # first: resolved forgets it with the link, but not what it remembers of names
    try:
        tunnel.down(keys)
    except DeviceError:
        with contextlib.suppress(Failure):  # the interface is what is said
            hostsfile.update(hosts, paths.interface, [])
        raise
    hostsfile.update(hosts, paths.interface, [])
    with contextlib.suppress(DeviceError):  # what it relayed for others, if it did
        clear(paths.interface)


def _take_down(session: Session) -> None:
    take_down(session.paths, session.tunnel, session.choices.names.path, (session.loaded.values.private_key,))


async def _events(session: Session, request: Request) -> list[Entry]:
    """The entries after one; to follow them, the answer waits a while until there are some."""
    if request.follow:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FOLLOW):
                await session.journal.more(request.after)
    return session.journal.after(request.after)
