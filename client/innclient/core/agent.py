"""One peer's agent as a machine: events in, commands out, in order. Pure: no loop, no socket, no disk, no clock.

What the coordinator tells is believed so far as the pins allow (`membership`), and becomes what the device is. The
order is what matters, and it is here: pins are saved before the device changes, the device changes before names and
disk do, and a receipt goes out last. What is on disk is never ahead of the device, and a receipt never ahead of the
disk. Without the coordinator, or with a disk that is full, everything stays as it was.

Three small machines do it together: `connection` knows whether there is one, `device` takes a change through its steps
(nothing else comes in meanwhile but the answers to its commands), `memory` what is done aside.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from innclient.core import commands as c
from innclient.core import events as e
from innclient.core.commands import Command
from innclient.core.connection import Connection, Ended, Lost
from innclient.core.device import Detour, DeviceChange, Step
from innclient.core.membership import Membership, Taken
from innclient.core.memory import Memory
from innclient.core.netmap import LogForked, Whereabouts
from innclient.core.paths import PeerPaths
from innclient.core.peer_path import Instant
from innclient.core.pins import break_of, fields, trusted
from innclient.core.transport import State, Transport
from innclient.core.trials import Turns, is_silent
from innclient.core.views import Broken
from innerd.domain.errors import Refused
from innerd.failure import TRUST, Failure
from innerd.wireguard.device import Device
from innerd.wireguard.plan import Change

# What is answered in which step; an answer that comes in another is of a change that was broken off.
_ANSWERS: dict[type[e.Event], Step] = {
    e.PinsSaved: Step.SAVING_PINS,
    e.Resolved: Step.RESOLVING,
    e.WasRead: Step.READING,
    e.Applied: Step.APPLYING,
    e.NamesShown: Step.NAMING,
}


class Agent:
    """`saved`: when the netmap was written down last (seconds since 1970). `tcp`: the coordinator's port for that, as
    it was told before."""

    def __init__(
        self,
        membership: Membership,
        paths: PeerPaths,
        saved: float | None,
        *,
        tells_candidates: bool = True,
        tcp: int | None = None,
    ) -> None:
        self.membership, self.paths = membership, paths
        self.connection = Connection(lambda: membership.netmap)
        self.change = DeviceChange(membership)
        self.memory = Memory(membership, saved)
        self.transport = Transport(tcp)
        self._tells_candidates = tells_candidates
        self._stays = False

    def handle(self, event: e.Event, now: Instant) -> list[Command]:
        """What is to be done because of an event, in order."""
        step = _ANSWERS.get(type(event))
        if step is not None and step is not self.change.step:
            return []
        return _HANDLERS[type(event)](self, event, now)

    def recall(self, presence: dict[int, Whereabouts]) -> None:
        """Where peers were reached last, until the coordinator tells."""
        self.membership.presence = presence | self.membership.presence

    def trust(self, who: str, offered: str, now: Instant, *, has_device: bool) -> tuple[Broken, list[Command]]:
        """Believe the key that is offered for a peer, if it is the one that was looked at. Raises Failure."""
        pins = self.membership.pins
        broken = break_of(pins.broken.values(), self.membership.netmap.network, who)
        if broken.offered != offered:
            raise Failure(TRUST, "key_changed", f"{broken.name} offers yet another key now", "look at it again")
        self.membership.applied = None  # a receipt said that it was refused
        text = f"{broken.name} ({broken.ip}): the key {broken.offered} is trusted now, in place of {broken.pinned}"
        said = c.Log("warning", "a changed key is trusted from now on", fields(broken))
        noted = c.note(self.membership.netmap, now.wall, "key.trusted", f"peer:{broken.peer}", text)
        return broken, [said, noted, *self.change.trust(trusted(pins, broken.ip), has_device=has_device)]

    @property
    def due(self) -> float | None:
        """When it has to look again before the next tick, in seconds since 1970."""
        doubts = self.paths.doubts.due if self._stays and self._is_connected else None
        own = (self.membership.due, self.change.look_at, doubts, self.transport.due)
        return min((at for at in own if at is not None), default=None)

    @property
    def _is_connected(self) -> bool:
        return self.connection.since is not None

    # -- the coordinator ----------------------------------------------------------------------------------------

    def _stay(self, event: e.Stays, now: Instant) -> list[Command]:
        self._stays = True
        self.transport.stays(now.wall)
        return []

    def _opened(self, event: e.Opened, now: Instant) -> list[Command]:
        self.connection.opened()
        self.membership.connected()
        return []

    def _take(self, event: e.Told, now: Instant) -> list[Command]:
        """Frames: all into the state, then one change of the device."""
        self.connection.heard_at = now.wall
        heard = self.transport.heard(now.wall)
        if not event.frames:
            return heard
        before, greeted = self.membership.netmap, list[Command]()
        try:
            taken = self.membership.take(event.frames, now.wall)
            if taken.hello is not None:
                greeted = [*self.connection.greeted(before, taken.hello, now.wall), *self._candidates()]
                self.paths.greeted(taken.hello, now.wall)
                self.transport.told(taken.hello.tcp)
        except (LogForked, Refused) as error:
            return [*heard, c.HangUp(error)]
        noted: list[Command] = [c.Note(taken.entries)] if taken.entries else []
        return [*heard, *greeted, *noted, *self.change.begin(taken, now.wall)]

    def _candidates(self) -> list[Command]:
        return [c.TellCandidates()] if self._tells_candidates else []

    def _closed(self, event: e.Closed, now: Instant) -> list[Command]:
        return self.memory.checkpoints()

    def _parted(self, event: e.Parted, now: Instant) -> list[Command]:
        commands = self.connection.parted(event.error, event.lasted, now.wall)
        commands += self.transport.parted(event.error, now.wall)  # first: what follows may fail with the device
        if isinstance(event.error, Lost) and event.error.silent:
            # It may have forgotten a session that we believe in (our key was off its device for a while), and WireGuard
            # alone takes 15 s to find out.
            commands.append(c.DropSession())
        return commands

    def _hurried(self, event: e.Hurried, now: Instant) -> list[Command]:
        self.connection.hurried()
        return []

    def _moved(self, event: e.Moved, now: Instant) -> list[Command]:
        """Where the ground moved, ask the coordinator whether it is there: that also tells it our new address."""
        asking: Command = c.AskCoordinator() if self._is_connected else c.Connect(0)
        by_udp = [c.AskByUdp()] if self.transport.state is State.TCP else []
        said = c.Log("info", "asking the coordinator whether it is there", {"why": event.why})
        return [said, *by_udp, asking, c.LookAround()]

    def _answered(self, event: e.Answered, now: Instant) -> list[Command]:
        if not self._is_connected:
            return [c.Connect(0)]
        if event.is_there:
            return self._candidates()
        return [c.Connect(0), c.HangUp(Lost("the coordinator does not answer any more", silent=True))]

    # -- the device ---------------------------------------------------------------------------------------------

    def _turns(self) -> Turns:
        return self.paths.turns(stays=self._stays)

    def _tick(self, event: e.Ticked, now: Instant) -> list[Command]:
        return self.transport.look(now.wall) + self.change.begin(None, now.wall)

    def _pins_saved(self, event: e.PinsSaved, now: Instant) -> list[Command]:
        return self.change.pins_saved(now.wall)

    def _resolved(self, event: e.Resolved, now: Instant) -> list[Command]:
        return self.change.resolved(event, self._turns(), now.wall)

    def _read(self, event: e.WasRead, now: Instant) -> list[Command]:
        return self.change.read(event.device, event.took, self._turns(), now.wall)

    def _applied(self, event: e.Applied, now: Instant) -> list[Command]:
        return self.change.applied() or self._done(event, now)

    def _done(self, event: e.Event, now: Instant) -> list[Command]:
        """The device and names are as they should be: paths, disk and receipt follow."""
        told, detour = self.change.told, self.change.detour
        self.change.done()
        if detour is not None:
            return detour.then
        commands = self._look_for_paths(None if told is None else told.peers, now)
        if told is not None:
            self.memory.matched(told.peers)
        commands += self.memory.next(connected=self._is_connected)
        return commands + (self._give_up(now) if told is None else self._end_of(told, now))

    def _look_for_paths(self, numbers: set[int] | None, now: Instant) -> list[Command]:
        if not (self._stays and self._is_connected) or self.change.device is None:
            return []
        return _asking(self.paths.consider(self.change.device, now, numbers))

    def _give_up(self, now: Instant) -> list[Command]:
        """Let go of sessions that lead nowhere any more; whose turn it then is to begin is looked at at once."""
        fallen = self.paths.fallen(now)
        if not fallen:
            return []
        names = ", ".join(peer.name for peer in fallen)
        said = c.Log("info", "a way leads nowhere any more: begun anew", {"peers": names})

        def plan(device: Device) -> tuple[tuple[Change, ...], Device]:
            return self.membership.silenced(fallen, device)

        return [said, *self.change.take_detour(Detour(plan, [], looks_again=True))]

    def _probing(self, event: e.Probing, now: Instant) -> list[Command]:
        """Paths are looked for to those that were told of before there was anything to probe them with."""
        return self._look_for_paths(None, now)

    def _end_of(self, told: Taken, now: Instant) -> list[Command]:
        if told.is_caught_up:
            self.connection.caught_up()
        if told.bye is not None:
            return [c.HangUp(Ended(told.bye))]
        met = [told_of.peer for told_of in told.meetings if self.paths.meet(told_of, self.change.device, now)]
        return [c.SendProbes(), *self._silence(met, now)] if met else []

    def _silence(self, numbers: list[int], now: Instant) -> list[Command]:
        """Send those of some peers who do not answer nothing more, until there is a path to them."""

        def plan(device: Device) -> tuple[tuple[Change, ...], Device]:
            return self.membership.silenced(self.paths.unanswered(numbers, device, now.wall), device)

        return self.change.take_detour(Detour(plan, []))

    def _broken_off(self, event: e.Failed, now: Instant) -> list[Command]:
        self.change.broken_off(event.why)
        return []

    def _disturbed(self, event: e.Disturbed, now: Instant) -> list[Command]:
        return [c.PutRight()]

    def _righted(self, event: e.Righted, now: Instant) -> list[Command]:
        commands = [*self.change.righted(event, now.wall), c.CheckNames()]
        return commands if self.change.device is not None else commands + self.change.begin(None, now.wall)

    def _reconfigured(self, event: e.Reconfigured, now: Instant) -> list[Command]:
        """The config was changed: its listen port and its overrides count from now on."""
        port = [] if event.port is None else self.change.give_port(event.port)
        commands = port + self.change.begin(None, now.wall)
        return [*commands, c.LookAround(), *self._candidates()] if self._is_connected else commands

    def _grounded(self, event: e.Grounded, now: Instant) -> list[Command]:
        """Tell those that we spoke with where we are now, look for paths to who can't hear it."""
        self.paths.networks = event.networks
        spoken_with = [entry for entry in event.device.peers.values() if not is_silent(entry, now.wall)]
        return [c.Greet(spoken_with), *_asking(self.paths.moved(event.device, now))]

    def _path_found(self, event: e.PathFound, now: Instant) -> list[Command]:
        """Reach a peer there from now on, if it is still one: much can have happened."""
        peers = [peer for peer in self.membership.believed({event.peer}) if peer.public_key == event.public_key]
        if not peers:
            return []
        found = c.Log("info", "a way was found", {"peer": peers[0].name, "endpoint": event.endpoint})
        plan = partial(self.membership.placed, peers[0], event.endpoint, now=now.wall)
        return self.change.take_detour(Detour(plan, [found]))

    def _session_dropped(self, event: e.SessionDropped, now: Instant) -> list[Command]:
        self.change.session_dropped()
        return self.change.begin(None, now.wall)

    def _tcp_opened(self, event: e.TcpOpened, now: Instant) -> list[Command]:
        if self.transport.state is not State.OPENING:  # something was heard by UDP meanwhile
            return [c.CloseTcp()]
        text = f"nothing is heard by UDP: reached by TCP, at {event.remote}"
        noted = c.note(self.membership.netmap, now.wall, "coordinator.by_tcp", "coordinator", text)
        said = self.transport.opened(event.remote, now.wall)
        return [*said, noted, c.ReachBy(event.local, anew=True), c.Connect(0)]

    def _tcp_failed(self, event: e.TcpFailed, now: Instant) -> list[Command]:
        was = self.transport.state
        if was is State.UDP:
            return []
        said = self.transport.failed(event.why, now.wall)
        return [*said, c.ReachBy(None, anew=True)] if was is State.TCP else said

    def _udp_open(self, event: e.UdpOpen, now: Instant) -> list[Command]:
        """The tunnel goes on by another way; what is said by it at once tells the coordinator so."""
        if self.transport.state is not State.TCP:
            return []
        said = self.transport.open_again(now.wall)
        noted = c.note(self.membership.netmap, now.wall, "coordinator.by_udp", "coordinator", "reached by UDP again")
        return [*said, noted, c.CloseTcp(), c.ReachBy(None, anew=False, at=event.endpoint), c.AskCoordinator()]

    # -- aside --------------------------------------------------------------------------------------------------

    def _written(self, event: e.Written, now: Instant) -> list[Command]:
        return self.memory.written(event.netmap, now.wall, is_kept=event.is_kept, connected=self._is_connected)

    def _reported(self, event: e.Reported, now: Instant) -> list[Command]:
        return self.memory.reported(is_heard=event.is_heard, connected=self._is_connected, again=self._stays)


def _asking(numbers: list[int]) -> list[Command]:
    return [c.SendProbes(), c.AskForMoments(numbers)] if numbers else []


_HANDLERS: dict[type[e.Event], Callable[[Agent, Any, Instant], list[Command]]] = {
    e.Stays: Agent._stay,
    e.Opened: Agent._opened,
    e.Told: Agent._take,
    e.Closed: Agent._closed,
    e.Parted: Agent._parted,
    e.Hurried: Agent._hurried,
    e.Ticked: Agent._tick,
    e.Disturbed: Agent._disturbed,
    e.Moved: Agent._moved,
    e.Reconfigured: Agent._reconfigured,
    e.PathFound: Agent._path_found,
    e.Probing: Agent._probing,
    e.PinsSaved: Agent._pins_saved,
    e.Resolved: Agent._resolved,
    e.WasRead: Agent._read,
    e.Applied: Agent._applied,
    e.NamesShown: Agent._done,
    e.Failed: Agent._broken_off,
    e.Righted: Agent._righted,
    e.Grounded: Agent._grounded,
    e.Answered: Agent._answered,
    e.SessionDropped: Agent._session_dropped,
    e.TcpOpened: Agent._tcp_opened,
    e.TcpFailed: Agent._tcp_failed,
    e.UdpOpen: Agent._udp_open,
    e.Written: Agent._written,
    e.Reported: Agent._reported,
}
