"""A relay that runs: what comes to WireGuard's port goes to the table, what the table says to the edges, and handshakes
on to whom they are for."""

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog
from msgspec import Struct

from innerd.domain.bucket import Bucket
from innerd.domain.values import Endpoint, PublicKey, is_by_tcp
from innerd.relay.edges import Edges
from innerd.relay.kernel import KernelEdge, clear
from innerd.relay.limits import Limits, Total
from innerd.relay.messages import COOKIE, DATA, parse
from innerd.relay.nftables import watching
from innerd.relay.sockets import CARRIED, HANDSHAKES, RawSockets
from innerd.relay.table import CROSSES, STRANGER, Drop, Edit, Place, Placed, Sight, Table
from innerd.relay.userspace import UserEdge
from innerd.wire.relaying import Relaying
from innerd.wireguard.backend import CAP_NET_RAW, has_capability
from innerd.wireguard.device import DeviceError

_log = structlog.get_logger("relay")

_COUNTS = 60.0  # seconds between two counts of what has passed, while there are pairs
_AT_ONCE = 20  # peers, whose ways are looked up in one turn
_COUNTED = 1000  # pairs: of more it takes too long, and is done when somebody asks
_SETTLES = 0.1  # seconds after a change of the host's rules
_AGAIN = 1.0  # seconds until what failed is tried again
_WAITS = 4.0  # seconds that a stranger's handshake is kept: WireGuard sends another after five
_MOVES = 20.0  # a second: peers that send to another address of ours than before
_MOST_STRANGERS, _ASKS = 256, 2.0  # kept at a time; looks at the device a second because of such


class Setup(Struct, frozen=True, kw_only=True):
    """`mode`: auto, kernel or userspace. `interface`: the WireGuard interface, whose `port` it is."""

    network: str
    interface: str
    port: int
    own_key: PublicKey
    limits: Limits
    mode: str = "auto"


class _Stranger(Struct, frozen=True):
    """A handshake that came from where nobody is known to be, to which address of ours, and when."""

    datagram: bytes
    own: str
    at: float


class Relay:
    """`strange` is called when a handshake came from where nobody is known to be: WireGuard may know more by now."""

    def __init__(self, setup: Setup, sight: Sight, strange: Callable[[], None]) -> None:
        self.setup = setup
        self.table = Table(sight, setup.own_key)
        self.refused: Counter[str] = Counter()  # handshakes that went nowhere, by why
        self.handshakes = 0  # that were sent on
        self.repairs = 0  # of the table in the kernel
        self.is_on = False
        self.edges = Edges(UserEdge(setup.limits))
        self._strange = strange
        self._may_ask, self._may_move = Bucket(_ASKS, 4.0), Bucket(_MOVES, _MOVES)
        self._data: RawSockets | None = None  # while this process carries some
        self._turn = asyncio.Lock()  # one at a time asks what the kernel has
        self._strangers: dict[Endpoint, _Stranger] = {}
        self._sockets: RawSockets | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # -- on and off ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to relay. Raises DeviceError where there are no raw sockets to be had."""
        if not has_capability(CAP_NET_RAW):
            raise DeviceError("relay_failed", "nothing can be relayed: CAP_NET_RAW is missing", "let innerd have it")
        await self._begin_in_kernel()
        try:
            self._sockets = RawSockets(self.setup.port, self._hear, HANDSHAKES)
        except OSError as error:
            raise DeviceError(
                "relay_failed", f"no raw sockets to relay with: {error.strerror}", "it needs CAP_NET_RAW"
            ) from error
        self.is_on = True
        self._tasks = [asyncio.create_task(self._for_ever(run)) for run in (self._watch, self._keep)]
        _log.info("relaying", mode=self.edges.mode, why=self.edges.why)

    async def stop(self, *, for_good: bool) -> None:
        """Relay no more; `for_good`: nor does the kernel what it knows of already."""
        self.is_on = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for sockets in (self._sockets, self._data):
            if sockets is not None:
                sockets.close()
        self._sockets = self._data = None
        kernel = self.edges.kernel
        if kernel is not None:
            await asyncio.to_thread(kernel.abandon if for_good else kernel.close)
        if for_good:
            self.table.part(list(self.table.pairs))
        self.edges = Edges(UserEdge(self.setup.limits))

    async def clear(self) -> None:
        """Leave nothing of a run before in the kernel."""
        with contextlib.suppress(DeviceError):
            await asyncio.to_thread(clear, self.setup.network)

    async def _begin_in_kernel(self) -> None:
        """Let the kernel carry what it can, if it can. What a run before put into it goes on being carried, so far as
        it may still be."""
        kernel, why = await asyncio.to_thread(self._kernel)
        if kernel is None:
            self.edges.why = why
            await self.clear()
            return
        try:
            left = await asyncio.to_thread(kernel.adopt)
            seen = await asyncio.to_thread(kernel.total)
        except (OSError, DeviceError) as error:
            self.edges.why = str(error)
            await asyncio.to_thread(kernel.abandon)
            return
        self.edges.begin(kernel, seen)  # from here on at one moment
        now, owns = time.monotonic(), kernel.owns()
        for peer, place in self.table.places.items():
            if not place.own and peer in owns:
                self.table.places[peer] = Place(place.endpoint, owns[peer])
        void: list[Edit] = [Drop(element) for element, to in left.items() if not self.table.adopt(element, to, now)]
        void += [Placed(peer, None) for peer in set(kernel.placed) - self.table.paired()]
        with contextlib.suppress(FileNotFoundError):
            kernel.apply(void)
        self.edges.restore(self.table.everything())
        self._listen_for_data()

    def _kernel(self) -> tuple[KernelEdge | None, str | None]:
        """The kernel's edge, or why there is none. Blocks."""
        if self.setup.mode == "userspace":
            return None, "the config says so (relay.mode)"
        edge = None
        try:
            edge = KernelEdge(self.setup.network, self.setup.interface, self.setup.port, self.setup.limits)
            edge.install()
        except (OSError, DeviceError) as error:
            if edge is not None:
                edge.close()
            return None, str(error)
        return edge, None

    # -- what is known ------------------------------------------------------------------------------------------

    def place(self, peer: int, endpoint: Endpoint) -> None:
        """WireGuard sees a peer there."""
        known = self.table.places.get(peer)
        stranger = self._strangers.pop(endpoint, None)
        own = stranger.own if stranger is not None else _own_towards(endpoint, known)
        self._apply(self.table.place(peer, Place(endpoint, own)))
        if stranger is not None and self.is_on and time.monotonic() - stranger.at < _WAITS:
            self._hear(stranger.datagram, endpoint, own)

    def forget(self, peers: Iterable[int]) -> None:
        """Some peers are none any more."""
        self._apply([edit for peer in peers for edit in self.table.forget(peer)])

    def revoke(self, peers: Iterable[int] | None = None) -> None:
        """Who sees whom has changed, for some peers or (None) for all."""
        self._apply(self.table.revoke(peers))

    # -- what comes ---------------------------------------------------------------------------------------------

    def _hear(self, datagram: bytes, source: Endpoint, own: str) -> None:
        message, now = parse(datagram), time.monotonic()
        if message is None:
            return
        if message.kind in (DATA, COOKIE):
            to = self.edges.user.to(source, message.receiver, len(datagram), now)
            if to is not None and self._data is not None:
                self._data.send(to, datagram)
            return
        peer = self.table.who(source)
        if peer is None:
            self._note_stranger(_Stranger(datagram, own, now), source)
            return
        handled = self.table.handle(message, datagram, source, now)
        if handled.to is None:
            if handled.why:
                self.refused[handled.why] += 1
            return
        if self.table.places[peer].own != own and self._may_move.take(1.0, now):
            self._apply(self.table.place(peer, Place(source, own)))
        self._apply(handled.edits)  # first: an answer must find its way back
        if handled.waits:
            asyncio.get_running_loop().call_later(CROSSES, self._send_late, peer, handled.to, datagram, now)
        else:
            self._send(handled.to, datagram)

    def _send(self, to: int, datagram: bytes) -> None:
        place = self.table.places.get(to)
        if self._sockets is not None and place is not None:
            self.handshakes += 1
            self._sockets.send(place, datagram)

    def _send_late(self, sender: int, to: int, datagram: bytes, since: float) -> None:
        """An initiation that crosses another, if nobody answered meanwhile."""
        if self.table.was_answered(sender, to, since):
            self.refused["crossed another"] += 1
        else:
            self._send(to, datagram)

    def _note_stranger(self, stranger: "_Stranger", source: Endpoint) -> None:
        """Somebody whom WireGuard may just have met: what it sent is kept until the device was looked at."""
        self.refused[STRANGER] += 1
        if len(self._strangers) >= _MOST_STRANGERS:
            self._strangers.clear()
        self._strangers[source] = stranger
        if self._may_ask.take(1.0, stranger.at):
            self._strange()

    def _apply(self, edits: Sequence[Edit]) -> None:
        if edits:
            self.edges.apply(edits)
            self._listen_for_data()

    def _listen_for_data(self) -> None:
        """Hear data where this process has some to carry, and nowhere else."""
        if self.edges.user.is_idle:
            if self._data is not None:
                self._data.close()
                self._data = None
        elif self._data is None:
            try:
                self._data = RawSockets(self.setup.port, self._hear, CARRIED)
            except OSError as error:
                _log.error("data can't be carried", why=str(error))

    # -- while it runs ------------------------------------------------------------------------------------------

    async def _for_ever(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception:  # a bug of ours, or of the kernel's
                _log.exception("tried again", work=work.__name__)
            await asyncio.sleep(_AGAIN)

    async def _watch(self) -> None:
        """Put the table back at once where somebody takes it away."""
        loop = asyncio.get_running_loop()
        with contextlib.closing(watching()) as heard:
            while True:
                with contextlib.suppress(OSError):  # more came than it holds: then something changed
                    await loop.sock_recv(heard, 1 << 16)
                await asyncio.sleep(_SETTLES)
                _drain(heard)
                await self.look()

    async def look(self, *, ways: bool = False) -> None:
        """Whether the table in the kernel is whole, and on the links that this host has now; `ways`: and by what way
        each peer is reached."""
        async with self._turn:
            kernel = self.edges.kernel
            if kernel is None:
                return
            try:
                is_whole = await asyncio.to_thread(kernel.is_whole)
                are_others = await asyncio.to_thread(kernel.has_other_links)
                was_gone = await asyncio.to_thread(kernel.install) if are_others or not is_whole else False
            except (OSError, DeviceError) as error:
                self.edges.give_up(str(error))
                self._listen_for_data()
                return
        if was_gone:
            self.repairs += 1
            _log.warning("the relay's table was taken away: it is made anew", table=kernel.table)
            self.edges.restore(self.table.everything())
            self._listen_for_data()
        elif ways or are_others:
            await self._renew()

    async def _renew(self) -> None:
        """Where each peer is reached by now: routes may be others."""
        peers = self.edges.placed
        for at in range(0, len(peers), _AT_ONCE):
            self.edges.renew(peers[at : at + _AT_ONCE])
            await asyncio.sleep(0)

    async def _keep(self) -> None:
        """Let go of what is old, and count what passed before it is gone; where the kernel did not do it, try again."""
        while True:
            await asyncio.sleep(_COUNTS)
            if len(self.table.pairs) <= _COUNTED:
                await self.count()
            self._apply(self.table.expire(time.monotonic()))
            if not self.table.pairs:
                continue
            if self.edges.kernel is None and self.setup.mode == "auto":
                async with self._turn:
                    await self._begin_in_kernel()
            else:
                await self.look(ways=True)

    async def count(self) -> None:
        """Take in how many bytes have passed by each pair."""
        if not self.table.pairs:
            return
        self.table.counted(self.edges.user.counters())
        kernel = self.edges.kernel
        if kernel is not None:
            async with self._turn:
                with contextlib.suppress(OSError, DeviceError):
                    self.table.counted(await asyncio.to_thread(kernel.counters))

    async def status(self) -> Relaying:
        total = await self.total()
        return Relaying(
            mode=self.edges.mode,
            why=self.edges.why,
            pairs=len(self.table.pairs),
            packets=total.packets,
            bytes=total.bytes,
            handshakes=self.handshakes,
            held=total.held,
            refused=self.refused.total(),
        )

    async def total(self) -> Total:
        """What was carried at all."""
        async with self._turn:
            kernel, found = self.edges.kernel, None
            if kernel is not None:
                with contextlib.suppress(OSError, DeviceError):
                    found = await asyncio.to_thread(kernel.total)
            return self.edges.total(found)


def _drain(heard: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while heard.recv(1 << 16):
            pass


def _own_towards(endpoint: Endpoint, known: Place | None) -> str:
    """The address of ours that a peer sends to, as it did before; who comes by TCP, or did, sends to another one."""
    return known.own if known is not None and is_by_tcp(known.endpoint) == is_by_tcp(endpoint) else ""
