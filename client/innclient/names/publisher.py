"""The names of a network on this host: answered by a stub of our own, to which the host's resolver is told to come for
them; or in the hosts file, where that can't be told."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog
from msgspec import Struct
from msgspec.structs import astuple, replace

from innclient.config import DnsMode
from innclient.core.netmap import KnownPeer, Netmap
from innclient.core.views import NameState
from innclient.names import resolver
from innclient.names.resolver import Mode, Setting
from innclient.names.stub import Stub
from innclient.paths import Paths
from inndns.reverse import domains as reverse_domains
from innerd.domain.errors import plainly
from innerd.domain.records import addresses
from innerd.domain.values import Address, Range
from innerd.failure import Failure
from innerd.host import hostsfile
from innerd.wireguard.device import NoSuchDevice
from innerd.wireguard.links import index_of

_LOOK_AGAIN = 30.0  # seconds until it is looked whether the host resolves by something else now
_MANY, _REST = 500, 20.0  # names in the hosts file, from which on it is left alone so many times as long as it took

Believed = Callable[[set[int] | None], list[KnownPeer]]  # the peers that are believed: some, or all


class NameSettings(Struct, frozen=True, kw_only=True):
    """Where names are written and answered."""

    path: Path
    suffix: str | None  # of the hosts file; None: <network>.<the coordinator's suffix>
    write: bool = True
    dns: DnsMode = "auto"
    address: str | None = None  # of the stub; None: the first that is free from 127.0.0.153 on
    on_tunnel: bool = False
    log_queries: bool = False

    def ending(self, netmap: Netmap) -> str:
        """What names end in, in the hosts file."""
        return netmap.domain if self.suffix is None else self.suffix


class Publisher:
    """NameSettings must not keep tunnels from being up: what goes wrong here is said, and tried again."""

    def __init__(self, names: NameSettings, paths: Paths, own: Address) -> None:
        self.stub = Stub(own, paths.interface)
        self.mode: Mode = "none" if names.dns == "none" else "hosts"
        self._serves = False  # as the agent does; who takes one cycle answers nothing
        self._tunnel_stays = True  # when we end, so names should too
        self._names, self._paths = names, paths
        self._trouble: str | None = None
        self._unwritten: str | None = None  # why the hosts file does not say what it should
        self._refusals = 0  # in a row
        self._setting: Setting | None = None
        self._looked_at = float("-inf")
        self._block: hostsfile.Block | None = None  # the lines of the hosts file, if it has names
        self._stamp: hostsfile.Stamp | None = None  # of the file, when it said what it should
        self._rests_until, self._rewriting = 0.0, asyncio.Lock()
        self._later: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("agent").bind(interface=paths.interface)

    def serve(self) -> None:
        """Answer names from the next update on."""
        self._serves = True

    def leave(self) -> None:
        """The tunnel goes, and names with it."""
        self._tunnel_stays = False

    @property
    def state(self) -> NameState:
        trouble = self._unwritten or self._trouble or (self.stub.trouble if self.mode != "none" else None)
        mode = "none" if self.mode == "hosts" and not self._names.write else self.mode
        return NameState(mode=mode, address=self.stub.address, trouble=trouble)

    async def update(self, netmap: Netmap, believed: Believed, numbers: set[int] | None) -> None:
        """What was told of some peers (None: of all) is answered from now on."""
        if self._names.dns != "none" and self._serves:
            looked_at = None if self.stub.zone is None else numbers
            self.stub.update(netmap, believed(looked_at), looked_at)
            await self._settle(netmap)
        elif numbers is None:
            await asyncio.to_thread(resolver.undo, self._paths.resolver)  # of an agent that was killed
        await self._write(netmap, believed, numbers)

    async def check(self, netmap: Netmap, believed: Believed, *, anew: bool) -> None:
        """Whether names are still where they were told: the host may resolve by something else now, and somebody may
        have written to its hosts file. `anew`: the link is another one than before."""
        before = self.mode
        if self._names.dns != "none" and self._serves:
            if anew:
                self._looked_at = float("-inf")
            await self._settle(netmap)
        ending = None if self._block is None else self._block.suffix
        if self.mode != before or ending not in (None, self._names.ending(netmap)):
            await self._write(netmap, believed)
        elif self._may_write(netmap) and not self._is_written():
            await self._rewrite(at_once=False)

    def _is_written(self) -> bool:
        """Whether the file is as we left it."""
        return self._unwritten is None and self._stamp == hostsfile.stamp_of(self._names.path)

    async def _settle(self, netmap: Netmap) -> None:
        """Listen, and tell the host's resolver."""
        names = self._names
        await self.stub.listen(names.address, on_tunnel=names.on_tunnel, log_queries=names.log_queries)
        if self.stub.address is None:
            self.mode = "hosts"
            return
        pause = min(_LOOK_AGAIN, 2.0**self._refusals) if self._refusals else _LOOK_AGAIN
        if self._setting is not None and time.monotonic() - self._looked_at < pause:
            return
        self._looked_at = time.monotonic()
        domains = domains_of(netmap)
        if await asyncio.to_thread(self._tell_usual, self.stub.address, domains) == "resolvconf":
            # openresolv takes a server on the loopback for a resolver of everything
            on_tunnel = await self.stub.listen_on_tunnel()
            mode: Mode = "hosts" if on_tunnel is None else "resolvconf"
            await asyncio.to_thread(self._tell, mode, on_tunnel or self.stub.address, domains)

    def _tell_usual(self, address: str, domains: tuple[str, ...]) -> Mode:
        """Tell whatever this host resolves by, which is the answer; but for openresolv, which must be told of an
        address that is listened on first."""
        names = self._names
        mode = names.dns if names.dns != "auto" else resolver.usual()
        if mode != "resolvconf":
            self._tell(mode, address, domains)
        return mode

    def _tell(self, mode: Mode, address: str, domains: tuple[str, ...]) -> None:
        wanted = Setting(mode=mode, interface=self._paths.interface, server=address, domains=domains)
        try:
            if (
                wanted == self._setting
                and not self._refusals
                and resolver.is_set(wanted, index_of(self._paths.interface))
            ):
                return
            if self._setting is None or self._setting.mode != mode:
                resolver.undo(self._paths.resolver)  # what an agent set that was killed, or we by another way
            if mode != "hosts":
                resolver.put(wanted, self._paths.resolver)
            self._trouble, self._refusals = None, 0
        except (resolver.Refusal, NoSuchDevice, OSError) as error:
            # A link that was just made may not be known to it yet: tried again soon, then less and less often.
            self._refusals += 1
            self._trouble = f"{mode} refused: {plainly(error)}"
            if self._refusals == 1:
                self._log.warning("names go to the hosts file", why=self._trouble)
            wanted = replace(wanted, mode="hosts")
        if wanted.mode != self.mode:
            self._log.info("names resolve by", mode=wanted.mode, server=address)
        self._setting, self.mode = wanted, wanted.mode

    async def _write(
        self, netmap: Netmap, believed: Believed, numbers: set[int] | None = None, *, always: bool = False
    ) -> None:
        """The hosts file: all names where they are not resolved otherwise, else none. Of some peers only what they are
        called is looked at (None: of all)."""
        names = self._names
        if not self._may_write(netmap):
            return
        suffix, block = names.ending(netmap), self._block
        if not (always or self.mode == "hosts" or names.suffix is not None or names.dns == "none"):
            self._block = None
        elif block is None or block.suffix != suffix or numbers is None:
            self._block = hostsfile.Block(suffix)
            self._block.fill((peer.id, _named(peer, netmap)) for peer in believed(None))
        else:
            named = {peer.id: _named(peer, netmap) for peer in believed(numbers)}
            for number in numbers:
                block.put(number, named.get(number, ()))
        await self._rewrite(at_once=always or numbers is None)

    def _may_write(self, netmap: Netmap) -> bool:
        return self._names.write and bool(netmap.network)

    async def _rewrite(self, *, at_once: bool) -> None:
        """A file of thousands of names takes a while: then it rests a while too, and several changes are one."""
        rest = 0.0 if at_once else self._rests_until - time.monotonic()
        if rest <= 0:
            await self._rewrite_now()
        elif self._later is None:
            self._later = asyncio.create_task(self._rewrite_after(rest))

    async def _rewrite_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._later = None
        await self._rewrite_now()

    async def _rewrite_now(self) -> None:
        async with self._rewriting:
            began = time.monotonic()
            lines = [] if self._block is None else self._block.lines()
            try:
                self._stamp = await asyncio.to_thread(hostsfile.keep, self._names.path, self._paths.interface, lines)
            except Failure as failure:
                if self._unwritten != failure.message:  # it is tried again and again
                    self._log.error("names were not written", path=str(self._names.path), error=failure.message)
                self._unwritten = failure.message
            else:
                self._unwritten = None
            took = time.monotonic() - began
            self._rests_until = began + (_REST * took if len(lines) > _MANY else 0.0)

    async def settle(self) -> None:
        """What is put off is written now."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
            await self._rewrite_now()

    async def close(self, netmap: Netmap, believed: Believed) -> None:
        """Nobody answers here any more. Where the tunnel stays, the hosts file has the names."""
        await self.settle()
        if not self._serves:
            return
        if self._tunnel_stays and self.mode not in ("hosts", "none"):
            await self._write(netmap, believed, always=True)  # first: a name that is looked up now must not leak
        await asyncio.to_thread(resolver.undo, self._paths.resolver)
        await self.stub.close()


def _named(peer: KnownPeer, netmap: Netmap) -> Iterator[tuple[Address, str]]:
    return addresses(peer.name, peer.ip, map(astuple, peer.records), netmap.block)


def domains_of(netmap: Netmap) -> tuple[str, ...]:
    """The zones that we answer: the network's names, and its reverse zones so far as they are its own alone."""
    block = netmap.block
    return (netmap.domain, *(reverse_domains(block) if block and _is_whole(block) else ()))


def _is_whole(block: Range) -> bool:
    """Whether reverse zones hold nobody else's addresses: a range narrower than a zone shares it with others."""
    return block.prefixlen <= (24 if block.version == 4 else 124)
