"""The names of a network on this host: answered by a stub of our own, to which the host's resolver is told to come for
them; or in the hosts file, where that can't be told."""

import asyncio
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import structlog
from msgspec import Struct
from msgspec.structs import astuple, replace

from innclient.config import DnsMode, Paths
from innclient.core.netmap import KnownPeer, Netmap
from innclient.core.status import NameState
from innclient.names import resolver
from innclient.names.resolver import Mode, Setting
from innclient.names.stub import Stub
from inndns.reverse import domains as reverse_domains
from innerd.domain.errors import plainly
from innerd.domain.records import addresses
from innerd.domain.values import Address, Range
from innerd.failure import Failure
from innerd.host import hostsfile
from innerd.wireguard.device import NoSuchDevice
from innerd.wireguard.links import index_of

_LOOK_AGAIN = 30.0  # seconds until it is looked whether the host resolves by something else now


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
        await self._write(netmap, believed)

    async def check(self, netmap: Netmap, believed: Believed, *, anew: bool) -> None:
        """Whether the host still resolves by what it was told to; `anew`: the link is another one than before."""
        if self._names.dns == "none" or not self._serves:
            return
        if anew:
            self._looked_at = float("-inf")
        before = self.mode
        await self._settle(netmap)
        if self.mode != before:
            await self._write(netmap, believed)

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
        mode = names.dns if names.dns != "auto" else await asyncio.to_thread(resolver.usual)
        address: str | None = self.stub.address
        if mode == "resolvconf":  # openresolv takes a server on the loopback for a resolver of everything
            address = await self.stub.listen_on_tunnel()
        if address is None:
            mode, address = "hosts", self.stub.address
        await asyncio.to_thread(self._tell, mode, address, domains_of(netmap))

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

    async def _write(self, netmap: Netmap, believed: Believed, *, always: bool = False) -> None:
        """The hosts file: all names where they are not resolved otherwise, else none."""
        names = self._names
        if not names.write or not netmap.network:
            return
        suffix = names.ending(netmap)
        wanted = always or self.mode == "hosts" or names.suffix is not None or names.dns == "none"
        named = (addresses(p.name, p.ip, map(astuple, p.records), netmap.block) for p in believed(None) if wanted)
        block = hostsfile.lines_of(chain.from_iterable(named), suffix)
        try:
            await asyncio.to_thread(hostsfile.update, names.path, self._paths.interface, block)
        except Failure as failure:
            if self._unwritten != failure.message:  # it is tried again and again
                self._log.error("names were not written", path=str(names.path), error=failure.message)
            self._unwritten = failure.message
        else:
            self._unwritten = None

    async def close(self, netmap: Netmap, believed: Believed) -> None:
        """Nobody answers here any more. Where the tunnel stays, the hosts file has the names."""
        if not self._serves:
            return
        if self._tunnel_stays and self.mode not in ("hosts", "none"):
            await self._write(netmap, believed, always=True)  # first: a name that is looked up now must not leak
        await asyncio.to_thread(resolver.undo, self._paths.resolver)
        await self.stub.close()


def domains_of(netmap: Netmap) -> tuple[str, ...]:
    """The zones that we answer: the network's names, and its reverse zones so far as they are its own alone."""
    block = netmap.block
    return (netmap.domain, *(reverse_domains(block) if block and _is_whole(block) else ()))


def _is_whole(block: Range) -> bool:
    """Whether reverse zones hold nobody else's addresses: a range narrower than a zone shares it with others."""
    return block.prefixlen <= (24 if block.version == 4 else 124)
