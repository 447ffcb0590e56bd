"""A seeded life of a network: machines join and go, are disabled, renamed, moved by carving; ways are cut, agents
killed, the coordinator restarted. All along nobody is told of whom it may not see, and no receipt is ahead of its
device; at every pause each machine that can be reached holds exactly what a fresh one would be told."""

import asyncio
import re
from collections import Counter
from hashlib import sha256
from ipaddress import ip_address, ip_network
from random import Random

from innerd.coordinator.feed import Committed
from innerd.coordinator.presence import Presence
from innerd.domain import commands as c
from innerd.domain.errors import Refused
from innerd.domain.netmap import netmap
from innerd.domain.network import Peer
from innerd.domain.values import Endpoint, Name, endpoint_of
from innerd.domain.visibility import View
from innerd.log.memory import MemoryStore
from innerd.streaming.registry import Stream
from innerd.wire.stream import Cursor
from tests.mesh.links import Line
from tests.mesh.peers import Machine
from tests.world import BEGINNING, INTERFACE, LOCAL, World, key, world

_TEAMS = 8
_KEYS = re.compile(rb'"public_key":"([^"]+)"')
_NAMES = re.compile(rb'"name":"(m[0-9]+(?:-[0-9]+)?)"')
_PLACES = re.compile(rb"198\.51\.([0-9]+\.[0-9]+):")
_PATIENCE = 90.0  # seconds in which all that can be reached must be in step


class Wrong(AssertionError):
    """A promise was broken."""


class JumpingWorld(World):
    """The world on the loop's clock."""

    @property
    def now(self) -> float:
        return BEGINNING + asyncio.get_running_loop().time()

    @now.setter
    def now(self, value: float) -> None:
        pass


class Life:
    def __init__(self, seed: int, peers: int) -> None:
        self.random = Random(seed)
        self.size = peers
        self.world: JumpingWorld
        self.machines: dict[int, Machine] = {}
        self.happened: Counter[str] = Counter()
        self.took: list[float] = []  # seconds from a commit to a receipt of it
        self.checks: Counter[str] = Counter()
        self._born = 0
        self._committed: dict[int, float] = {}
        self._views: dict[int, View] = {}
        self._trace = sha256()
        self.wrong: list[str] = []  # promises that were broken; raised where nobody swallows it
        self._telling: asyncio.Task[None] | None = None
        self._lines: dict[Stream, Line] = {}
        self._keys: dict[str, int] = {}  # public keys and endpoints' addresses that were ever given, and whose they are
        self._places: dict[str, int] = {}
        self._sample = max(1, peers // 50)  # one receipt of so many is compared with its device

    def time(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> float:
        return self.world.now

    @property
    def trace(self) -> str:
        """A digest of all that happened: the same for the same seed."""
        return self._trace.hexdigest()[:16]

    # -- the coordinator ----------------------------------------------------------------------------------------

    async def found(self) -> None:
        store = (await world()).store
        assert isinstance(store, MemoryStore)
        self.world = JumpingWorld(store)
        await self._begin()
        for team in range(_TEAMS):
            await self._submit(c.AddCidr(Name(f"team-{team}"), ip_network(f"127.42.{16 * (team + 1)}.0/20"), 1))
        for one, other in ((0, 1), (1, 2), (4, 5)):
            await self._submit(c.AddAssociation(3 + one, 3 + other))
        for _ in range(self.size):
            await self._join()

    async def _begin(self) -> None:
        self.world.presence = Presence(lambda: self.world.now)
        await self.world.start()
        self.world.writer.feed.follow("life", self._note)
        self._telling = asyncio.create_task(self.world.hub.sender.run())

    def _note(self, change: Committed) -> None:
        view = self.world.writer.view
        self._committed[view.network.revision] = self.time()
        self._views[view.network.revision] = view
        self._trace.update(f"{self.time():.6f} {view.network.revision} {change.events!r}".encode())

    async def restart(self) -> None:
        """The coordinator is killed, and comes back from its log."""
        assert self._telling is not None
        self._telling.cancel()
        await asyncio.gather(self._telling, return_exceptions=True)
        for line in list(self._lines.values()):
            line.cut()
        await asyncio.sleep(self.random.uniform(0.1, 3))
        await self._begin()

    async def _submit(self, command: c.Command) -> None:
        await self.world.writer.submit(command, LOCAL)

    async def connect(self, machine: Machine, cursor: Cursor | None) -> tuple[Line, Stream]:
        """A stream for a machine. Raises Refused."""
        peer = self.world.writer.network.peers.get(machine.number)
        if peer is None or not peer.is_active:
            raise Refused("unauthorized", "the source address belongs to no enabled peer")
        hub = self.world.hub
        open_: list[Stream] = []

        def closed() -> None:
            for stream in open_:
                self._lines.pop(stream, None)
                if not stream.ended.is_set():
                    hub.closed(stream)

        line = Line(machine.weather, closed, lambda data: self._told(machine, data))
        stream = await hub.open(peer, cursor, line)
        open_.append(stream)
        self._lines[stream] = line
        return line, stream

    def hang_up(self, stream: Stream) -> None:
        self._lines.pop(stream, None)

    # -- promises -----------------------------------------------------------------------------------------------

    def _told(self, machine: Machine, data: bytes) -> None:
        """Each byte that is written to a peer speaks of peers that it sees, at this moment."""
        view = self.world.writer.view
        me = view.network.peers.get(machine.number)
        if me is None or not me.is_active:
            if b'"bye"' not in data and b"event: bye" not in data:
                self.wrong.append(f"{machine.name} is out, and was told {data[:200]!r}")
            return
        self.checks["frames"] += 1
        class_, topology = view.class_of(me), view.topology
        seen = topology.seen(class_)
        for number in self._named(view, data):
            peer = view.network.peers[number]
            if number != 1 and not (peer.is_active and view.class_of(peer) in seen):
                self.wrong.append(f"{machine.name} was told of {peer.name}, whom it may not see: {data[:300]!r}")

    def _named(self, view: View, data: bytes) -> set[int]:
        network = view.network
        found = {self._keys[text.decode()] for text in _KEYS.findall(data) if text.decode() in self._keys}
        found |= {network.names[text.decode()] for text in _NAMES.findall(data) if text.decode() in network.names}
        places = {peer.decode() for peer in _PLACES.findall(data)}
        found |= {self._places[place] for place in places}
        return {number for number in found if number in network.peers}

    def promised(self, machine: Machine, revision: int) -> None:
        """A receipt: the device is what the network was at that revision."""
        self.checks["receipts"] += 1
        view = self._views.get(revision)
        me = None if view is None else view.network.peers.get(machine.number)
        if view is None or me is None or not me.is_active or self.checks["receipts"] % self._sample:
            return
        expected = {peer.public_key for peer in view.visible_to(me)} - {me.public_key}
        device = set(machine.backend.get(INTERFACE).peers)
        later = machine.membership is None or machine.membership.matched.revision != revision
        if device != expected and not later:
            self.wrong.append(
                f"{machine.name} promised revision {revision}, but its device differs by {device ^ expected}"
            )

    def heard_back(self, revision: int) -> None:
        if revision in self._committed:
            self.took.append(self.time() - self._committed[revision])

    async def pause(self) -> None:
        """The weather clears; then each machine that can be reached must come to hold what a fresh one is told."""
        for machine in self.machines.values():
            machine.weather.is_open.set()
            if machine.line is not None:
                machine.line.reads.set()
            if not machine.runs:
                machine.start()
        deadline, late = self.time() + _PATIENCE, list(self.machines.values())
        while (late := self._late(late)) and self.time() < deadline:  # noqa: ASYNC110 - time jumps
            await asyncio.sleep(0.5)
        self._raise()
        if late:
            names = ", ".join(sorted(machine.name for machine in late)[:10])
            raise Wrong(f"not in step after {_PATIENCE:.0f} s: {names} ({len(late)} in all)")
        self.checks["pauses"] += 1

    def _raise(self) -> None:
        if self.wrong:
            raise Wrong(self.wrong[0])

    def _late(self, machines: list[Machine]) -> list[Machine]:
        """Those of some machines that are not in step; nothing happens meanwhile that could set others back."""
        view = self.world.writer.view
        return [machine for machine in machines if not self._is_in_step(machine, view)]

    def _is_in_step(self, machine: Machine, view: View) -> bool:
        me = view.network.peers.get(machine.number)
        if me is None or not me.is_active:
            return True  # who is out may not have heard it: the others have let go of it
        if not machine.caught_up or machine.membership is None:
            return False
        fresh, held = netmap(view, view.class_of(me)), machine.membership.netmap
        told = {peer.id: (peer.name, peer.ip, peer.public_key, view.class_of(peer)) for peer in fresh.peers}
        kept = {peer.id: (peer.name, peer.ip, peer.public_key, peer.cidr_id) for peer in held.peers.values()}
        device = set(machine.backend.get(INTERFACE).peers)
        keys = {peer.public_key for peer in fresh.peers} - {me.public_key}
        cidrs = {(cidr.id, cidr.name) for cidr in fresh.cidrs} == {(c.id, c.name) for c in held.cidrs.values()}
        return told == kept and device == keys and cidrs

    # -- what happens -------------------------------------------------------------------------------------------

    async def live(self, seconds: float) -> None:
        """So many seconds of change and weather."""
        until = self.time() + seconds
        acts = [getattr(self, f"_{name}") for name in ACTS for _ in range(ACTS[name])]
        pace = 1.0 / min(5.0, max(1.0, self.size / 40))
        while self.time() < until:
            await asyncio.sleep(self.random.expovariate(1 / pace))
            self._raise()
            act = self.random.choice(acts)
            self.happened[act.__name__[1:]] += 1
            try:
                await act()
            except Refused:
                self.happened["refused"] += 1

    def _any(self, *, active: bool | None = True) -> Peer | None:
        peers = self.world.writer.network.peers
        numbers = [n for n in self.machines if n in peers and (active is None or peers[n].is_active == active)]
        return peers[self.random.choice(numbers)] if numbers else None

    async def _join(self) -> None:
        self._born += 1
        name, team = f"m{self._born}", self.random.randrange(_TEAMS)
        await self._submit(c.AddPeer(name=Name(name), cidr=3 + team, ip=None, public_key=key(name), is_redeemed=True))
        peer = self.world.writer.network.peer_named(name)
        assert peer is not None
        self._keys[peer.public_key] = peer.id
        self._places[f"{peer.id >> 8}.{peer.id & 255}"] = peer.id
        machine = Machine(self, peer.id, name, peer.ip, Random(self.random.random()))
        self.machines[peer.id] = machine
        machine.start()

    async def _retire(self) -> None:
        if (peer := self._any()) is not None and len(self.machines) > self.size // 2:
            await self._submit(c.RemovePeer(peer.id))
            await asyncio.sleep(0.3)  # time to hear it, as a machine that is reached has
            await self.machines.pop(peer.id).kill()

    async def _disable(self) -> None:
        if (peer := self._any()) is not None:
            await self._submit(c.DisablePeer(peer.id))

    async def _enable(self) -> None:
        if (peer := self._any(active=False)) is not None:
            await self._submit(c.EnablePeer(peer.id))

    async def _rename(self) -> None:
        if (peer := self._any()) is not None:
            stem = peer.name.partition("-")[0]
            await self._submit(c.RenamePeer(peer.id, Name(f"{stem}-{self.random.randrange(100)}")))

    async def _associate(self) -> None:
        one, other = self.random.sample(range(3, 3 + _TEAMS), 2)
        await self._submit(c.AddAssociation(one, other))

    async def _part(self) -> None:
        known = sorted(self.world.writer.network.associations)
        if known:
            await self._submit(c.DeleteAssociation(self.random.choice(known)))

    async def _carve(self) -> None:
        team = self.random.randrange(_TEAMS)
        number = self.random.choice([0, 64, 128])
        block = ip_network(f"127.42.{16 * (team + 1)}.{number}/26")
        await self._submit(c.AddCidr(Name(f"carved-{team}-{number}"), block, 3 + team))

    async def _uncarve(self) -> None:
        carved = sorted(n for n, cidr in self.world.writer.network.cidrs.items() if cidr.name.startswith("carved"))
        if carved:
            await self._submit(c.DeleteCidr(self.random.choice(carved), merge=True))

    async def _override(self) -> None:
        if (peer := self._any()) is not None:
            await self._submit(c.OverrideEndpoint(peer.id, self._place(peer)))

    async def _move(self) -> None:
        if (peer := self._any()) is not None:
            self.world.presence.report_candidates(peer.id, (self._place(peer),))

    def _place(self, peer: Peer) -> Endpoint:
        address = ip_address(f"198.51.{peer.id >> 8}.{peer.id & 255}")
        return endpoint_of(str(address), self.random.randrange(1000, 60_000))

    async def _cut(self) -> None:
        if (peer := self._any()) is not None:
            self._for_a_while(self.machines[peer.id].weather.is_open)

    async def _stall(self) -> None:
        if (peer := self._any()) is not None and (line := self.machines[peer.id].line) is not None:
            self._for_a_while(line.reads)

    def _for_a_while(self, event: asyncio.Event) -> None:
        event.clear()
        self._later(self.random.uniform(0.5, 60), event.set)

    def _later(self, seconds: float, act) -> None:
        asyncio.get_running_loop().call_later(seconds, act)

    async def _crash(self) -> None:
        if (peer := self._any()) is not None:
            machine = self.machines[peer.id]
            await machine.kill()
            if self.random.random() < 0.3:
                machine.reboot()
            self._later(self.random.uniform(0.1, 20), lambda: None if machine.runs else self._start(machine))

    def _start(self, machine: Machine) -> None:
        if self.machines.get(machine.number) is machine:
            machine.start()

    async def _restart(self) -> None:
        await self.restart()


ACTS = {  # and how often each
    "join": 3,
    "retire": 2,
    "disable": 4,
    "enable": 5,
    "rename": 6,
    "associate": 2,
    "part": 2,
    "carve": 1,
    "uncarve": 1,
    "override": 2,
    "move": 6,
    "cut": 4,
    "stall": 1,
    "crash": 4,
    "restart": 1,
}


async def lived(seed: int, peers: int, minutes: float, say=lambda life: None) -> Life:
    """A whole life. Raises Wrong."""
    life = Life(seed, peers)
    await life.found()
    await life.pause()
    left = minutes * 60.0
    while left > 0:
        await life.live(min(60.0, left))
        await life.pause()
        left -= 60.0
        say(life)
    for machine in list(life.machines.values()):
        await machine.kill()
    return life
