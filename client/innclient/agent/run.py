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
from innclient.agent import store, stream
from innclient.agent.control import Door, Request, ask_agent
from innclient.agent.metrics import export
from innclient.agent.session import Keeper
from innclient.agent.tunnel import Tunnel
from innclient.config import Loaded, Paths
from innclient.core.changes import Entry
from innclient.core.membership import SHUT_OUT
from innclient.core.netmap import LogForked
from innclient.core.status import NetworkView, StatusView, checkpoints_view, network_view, shut_out
from innclient.names import resolver
from innerd import __version__
from innerd.failure import REFUSED, SYSTEM, TRUST, UNREACHABLE, Failure, status_of_code, unreachable, usage
from innerd.host import files, hostsfile
from innerd.host.firewall import to_serve
from innerd.host.reachability import pings
from innerd.host.systemd import keep_told, keep_watched
from innerd.wire import proof
from innerd.wireguard.device import Device, DeviceError, NoSuchDevice
from innerd.wireguard.keys import public_key

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


async def cycle(keeper: Keeper) -> None:
    """Once: connect, take everything, apply, report. Raises Failure where the coordinator can't be reached; what
    was known is applied all the same."""
    await keeper.bring_up()
    try:
        async with asyncio.timeout(_CYCLE):
            await keeper.follow(once=True)
    except (stream.Lost, TimeoutError) as error:
        raise await why_unreachable(keeper.paths, keeper.tunnel, keeper.loaded, str(error)) from error
    except stream.Ended as error:
        await keeper.reporter.once()  # who was shut out is so the next time, too
        status = REFUSED if error.reason in SHUT_OUT else UNREACHABLE
        raise Failure(status, "stream_ended", str(error)) from error
    except stream.Denied as error:
        raise Failure(status_of_code(error.code), error.code, error.message) from error
    except LogForked as error:
        raise Failure(TRUST, "log_forked", str(error), "ask your administrator before you go on") from error
    finally:
        await keeper.close()
    if keeper.shelf.broken is not None:
        raise Failure(SYSTEM, "os_error", f"applied, but it can't be written down: {keeper.shelf.broken}")


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


async def agent(keepers: list[Keeper], ready: Callable[[], Awaitable[None]]) -> None:
    """Keep interfaces up until SIGTERM, or until `inn down` has taken the last one away. Tunnels stay.

    An interface that can't be brought up does not hinder the others; the agent ends with its failure when no other
    is left.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    begun: list[asyncio.Future[bool]] = [loop.create_future() for _ in keepers]
    tasks = [asyncio.create_task(_keep(keeper, up)) for keeper, up in zip(keepers, begun, strict=True)]
    greeting = asyncio.create_task(_when_all(begun, ready))
    watched = asyncio.create_task(keep_watched())
    told = asyncio.create_task(keep_told(lambda: "; ".join(map(headline, keepers))))
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


def headline(keeper: Keeper) -> str:
    """How an interface is, in a few words; what is wrong stands behind them."""
    state = "connected" if keeper.connected_since is not None else f"no connection: {_trouble(keeper) or 'connecting'}"
    parts = [f"{keeper.paths.interface}: {state}, revision {keeper.netmap.revision}"]
    wrong = {
        "ANOTHER LOG THAN WAS SEEN": keeper.forked,
        "THE DEVICE IS NOT AS IT SHOULD BE": keeper.device_error,
        "THE DISK CAN'T BE WRITTEN": keeper.shelf.broken or keeper.journal.broken,
        "OTHER KEYS ARE REFUSED": ", ".join(broken.name for broken in keeper.pins.broken.values()),
    }
    parts += [f"{what}: {why}" for what, why in wrong.items() if why]
    skew = abs(keeper.ways.ahead) if keeper.connected_since is not None else 0
    if skew > proof.WINDOW:
        parts.append(f"THE CLOCK is {skew:.0f} s off the coordinator's: proofs of administrators are refused")
    return ", ".join(parts)


def _trouble(keeper: Keeper) -> str | None:
    """Why there is no connection. Who was shut out hears nothing more, however long it tries."""
    out = keeper.netmap.shut_out
    return keeper.trouble if out is None else f"this machine was {out} by an administrator"


async def _when_all(begun: list[asyncio.Future[bool]], ready: Callable[[], Awaitable[None]]) -> None:
    """Who is up though none of its interfaces is, is not ready: it ends with what was in the way."""
    if any(await asyncio.gather(*map(asyncio.shield, begun))):  # who gives up waiting takes nobody's word away
        await ready()


async def _keep(keeper: Keeper, begun: asyncio.Future[bool]) -> None:
    """One interface until it is taken down through its socket; `begun` says whether it came up."""
    down = asyncio.Event()
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def answer(request: Request) -> Any:
        match request.verb:
            case "show":
                return await _show(keeper)
            case "status":
                return await _status(keeper)
            case "checkpoints":
                return checkpoints_view(keeper.paths.interface, keeper.netmap, keeper.core.witnessed)
            case "events":
                return await _events(keeper, request)
            case "reload":
                await keeper.reload(config.load(keeper.paths))
                return True
            case "trust":
                return await keeper.trust(request.who, request.key)
            case "down":
                down.set()
                await asyncio.shield(finished)
                return "down"
            case "fetch":
                if keeper.netmap.shut_out is not None:
                    raise shut_out(keeper.netmap.shut_out, str(keeper.loaded.values.address.ip))
                if keeper.connected_since is None:
                    trouble = _trouble(keeper) or "connecting"
                    raise unreachable(f"the agent has no connection to the coordinator: {trouble}")
                await keeper.apply()
                return keeper.netmap.revision
        raise usage(f'the agent knows no verb "{request.verb[:40]}"')

    door = Door(keeper.paths.socket, answer, keeper.paths.data)
    with holding(keeper.paths):
        keeper.names.serves = True
        try:
            await keeper.bring_up()
            await door.open()
        except BaseException:
            begun.set_result(False)
            raise
        begun.set_result(True)
        running, exporting = asyncio.create_task(keeper.run()), asyncio.create_task(export(keeper))
        downed = asyncio.create_task(down.wait())
        try:
            await asyncio.wait((running, downed), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await running  # a bug: it never ends by itself
            keeper.names.tunnel_stays = False
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            try:
                await asyncio.to_thread(_take_down, keeper)
            except (Failure, DeviceError) as error:
                finished.set_exception(error)
            else:
                finished.set_result(None)
            await asyncio.sleep(0.05)  # the answer to `down` leaves before the socket does
        finally:
            await _ended(running, downed, exporting)
            await door.close()


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


def _take_down(keeper: Keeper) -> None:
    take_down(keeper.paths, keeper.tunnel, keeper.choices.names.path, (keeper.loaded.values.private_key,))


async def _show(keeper: Keeper) -> NetworkView:
    device: Device | None = None
    with contextlib.suppress(NoSuchDevice):
        device = await asyncio.to_thread(keeper.tunnel.get)
    as_of = None if keeper.connected_since else keeper.last_contact or keeper.reporter.saved
    return network_view(
        keeper.paths.interface, keeper.netmap, keeper.pins, device, as_of, time.time(), keeper.ways.seen
    )


async def _events(keeper: Keeper, request: Request) -> list[Entry]:
    """The entries after one; to follow them, the answer waits a while until there are some."""
    if request.follow:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FOLLOW):
                await keeper.journal.more(request.after)
    return keeper.journal.after(request.after)


async def _status(keeper: Keeper) -> StatusView:
    view = await _show(keeper)
    return status_of(keeper, view, has_agent=True)


def status_of(keeper: Keeper, view: NetworkView, *, has_agent: bool) -> StatusView:
    values, me = keeper.loaded.values, keeper.netmap.peers.get(keeper.netmap.me)
    return StatusView(
        interface=keeper.paths.interface,
        network=keeper.netmap.network,
        name="" if me is None else me.name,
        domain=keeper.choices.names.ending(keeper.netmap),
        ip=str(values.address.ip),
        range=str(values.address.network),
        own_domain=keeper.netmap.domain,
        told_domain=keeper.netmap.told_domain,
        public_key=public_key(values.private_key),
        backend=keeper.tunnel.backend.name,
        is_up=view.is_up,
        dns=keeper.names.state,
        has_agent=has_agent,
        is_connected=keeper.connected_since is not None,
        connected_since=keeper.connected_since,
        last_contact=keeper.last_contact or keeper.reporter.saved,
        trouble=_trouble(keeper),
        shut_out=keeper.netmap.shut_out,
        release=__version__ if has_agent else "",
        forked=keeper.forked,
        twins=keeper.sharing.at,
        device_error=keeper.device_error,
        disk_error=keeper.shelf.broken or keeper.journal.broken,
        is_admin=me is not None and me.is_admin,
        revision=keeper.netmap.revision,
        generation=keeper.netmap.generation,
        head=keeper.netmap.head_hash,
        applied=keeper.applied if has_agent else keeper.netmap.revision,  # it is saved when it is applied
        peers=sum(not peer.is_me for peer in view.peers),
        online=sum(
            known.online
            for number, known in keeper.core.presence.items()
            if number != keeper.netmap.me and number in keeper.netmap.peers
        ),
        reached=sum(peer.path != "none" for peer in view.peers),
        refused=list(keeper.pins.broken.values()),
        unreadable=len(keeper.netmap.refused),
    )


def from_files(paths: Paths, tunnel: Tunnel | None) -> NetworkView:
    """What `show` says without an agent: the last state, and the device where we may read it."""
    netmap, saved = store.load_netmap(paths)
    device = tunnel.get() if tunnel is not None and tunnel.is_up() else None
    return network_view(paths.interface, netmap, store.load_pins(paths), device, saved or 0.0, time.time())
