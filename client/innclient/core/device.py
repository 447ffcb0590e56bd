"""A change of the device, step by step: pins are saved before it, addresses known, the device read where what it is is
not certain. Pure: each step answers an event with the commands of the next.

What the device is, is remembered between looks, so that one change costs one small message. Looks are as frequent as
they are cheap: where a device has thousands of peers, who may have answered meanwhile is tried at the next.
"""

from collections.abc import Callable, Collection
from enum import Enum, auto

from msgspec import Struct
from msgspec.structs import replace

from innclient.core import commands as c
from innclient.core import events as e
from innclient.core.commands import Command
from innclient.core.membership import Membership, Taken
from innclient.core.netmap import Whereabouts
from innclient.core.pins import Pins, fields
from innclient.core.trials import Server, Turns
from innerd.wireguard.device import Device
from innerd.wireguard.plan import Change, SetPeer, edits
from innerd.wireguard.plan import applied as after

_SAID_REPAIRS = 10  # in one line
MANY = 500  # peers on a device, from which on looks at it are spared
_REST = 20.0  # times as long as one took nobody looks again only because somebody came online


class Step(Enum):
    """IDLE -> SAVING_PINS (where there are new ones) -> RESOLVING -> READING (where it must be) -> APPLYING -> NAMING
    (where names changed) -> IDLE; -Failed-> IDLE from each. A `Detour` goes by READING -> APPLYING."""

    IDLE = auto()
    SAVING_PINS = auto()
    RESOLVING = auto()
    READING = auto()
    APPLYING = auto()
    NAMING = auto()


class Detour(Struct, frozen=True):
    """A change of some entries alone, on the device as it is read: the path to a peer was found, or peers are not to be
    sent to. `then` is to be done after it; `looks_again`: all is to be looked at then, not only at the next tick."""

    plan: Callable[[Device], tuple[tuple[Change, ...], Device]]
    then: list[Command]
    looks_again: bool = False


class DeviceChange:
    """`device`: as it was seen last, and changed by us since; None where that is not known."""

    def __init__(self, membership: Membership) -> None:
        self.device: Device | None = None
        self.error: str | None = None
        self.repairs = 0  # of what others did, for metrics
        self.step = Step.IDLE
        self.look_at: float | None = None  # when somebody waits for the next look (seconds since 1970)
        self.told: Taken | None = None  # what the change comes of; None: it is about all
        self.detour: Detour | None = None  # what it is about instead
        self._membership = membership
        self._looked_at: Taken | None = None  # what of the device is looked at; None: all
        self._unsure: set[int] = set()  # who waits for it
        self._read_at, self._rest = 0.0, 0.0  # when it was looked at, and how long that is enough
        self._are_shown = False  # all names, since others are believed or a change was broken off
        self._are_checked = False  # the pins of all peers, since the netmap was told whole or a change was broken off
        self._pins: Pins = membership.pins
        self._server: Server | None = None
        self._server_moved = False
        self._tried: dict[int, Whereabouts] = {}
        self._before: Device | None = None
        self._after: Device | None = None
        self._lost: Device | None = None  # one that went: its peers are where they were

    # -- pins, addresses, the device ----------------------------------------------------------------------------

    def begin(self, told: Taken | None, now: float) -> list[Command]:
        """The device as it should be: of what was told, or all."""
        self.told = self._looked_at = told
        if told is None and self._are_checked:
            return self._resolve(now)
        numbers = told.peers if told is not None and self._are_checked else None
        pins, self._are_checked = self._membership.check_pins(numbers, now), True
        if pins is self._membership.pins:
            return self._resolve(now)
        return [*self._refusals(pins, now), *self._save(pins)]

    def trust(self, pins: Pins, *, has_device: bool) -> list[Command]:
        """Other pins than were checked: somebody of this machine says so."""
        self._are_shown = False
        if not has_device:
            self._membership.pins = pins
            return [c.SavePins(pins)]
        self.told = self._looked_at = None
        return self._save(pins)

    def _save(self, pins: Pins) -> list[Command]:
        self.step, self._pins = Step.SAVING_PINS, pins
        return [c.SavePins(pins)]

    def _refusals(self, pins: Pins, now: float) -> list[Command]:
        commands: list[Command] = []
        for broken in pins.broken.values():
            if broken != self._membership.pins.broken.get(broken.ip):
                commands.append(c.Log("error", "pinned key changed: not applied", fields(broken)))
                text = f"another key is offered for {broken.name} ({broken.ip}): NOT applied ({broken.offered})"
                commands.append(self._note(now, "key.refused", f"peer:{broken.peer}", text))
        return commands

    def pins_saved(self, now: float) -> list[Command]:
        self._membership.pins = self._pins
        return self._resolve(now)

    def _resolve(self, now: float) -> list[Command]:
        told, self._unsure = self._looked_at, set()
        if told is not None and self._must_read(told, now):
            self._looked_at = None
        self.step = Step.RESOLVING
        return [c.Resolve(None if self._looked_at is None else self._looked_at.peers)]

    def _must_read(self, told: Taken, now: float) -> bool:
        """Whether a peer that was told of is on the device, and may have shaken hands since we looked."""
        if self.device is None or told.peers is None:
            return True
        self._unsure = self._membership.to_be_tried(told, self.device, now)
        if self._unsure and 0 <= now - self._read_at < self._rest:
            self.look_at = self._read_at + self._rest
            return False
        return bool(self._unsure)

    def resolved(self, resolved: e.Resolved, turns: Turns, now: float) -> list[Command]:
        if resolved.server.moved and self._looked_at is not None:
            self._looked_at, self._server_moved = None, True
            return [c.Resolve(None)]
        self._server = replace(resolved.server, moved=resolved.server.moved or self._server_moved)
        self._server_moved = False
        self._tried, self._membership.overrides = resolved.presence, resolved.overrides
        # What the device is, is not known until the changes are made.
        self._before, self.device = self.device, None
        if self._looked_at is not None and self._before is not None:
            return self._apply(self._before, turns, now, self._unsure)
        self.step = Step.READING
        return [c.Read()]

    def read(self, device: Device, took: float, turns: Turns, now: float) -> list[Command]:
        """`took`: seconds that reading it took."""
        self._read_at, self.look_at = now, None
        self._rest = _REST * took if len(device.peers) > MANY else 0.0
        if self.detour is not None:
            changes, self._after = self.detour.plan(device)
            self.look_at = now if self.detour.looks_again else None
            self.step = Step.APPLYING
            return [c.Apply(changes)]
        before, self._before = self._before, None
        done = [] if before is None else edits(before, device)
        commands = self._repaired(done, now) if done else []
        if before is not None and device.listen_port != before.listen_port:
            # Whoever gave it another: others know us at the one that it had.
            return [*commands, c.GivePort(before.listen_port, must=False), c.Read()]
        return commands + self._apply(device, turns, now)

    def _apply(self, device: Device, turns: Turns, now: float, unsure: Collection[int] = ()) -> list[Command]:
        assert self._server is not None  # noqa: S101 - resolved before
        changes, planned = self._membership.changes(
            device, self._server, self._tried, now, self._looked_at, turns, unsure
        )
        if self._lost is not None:
            lost, self._lost = self._lost, None
            changes = tuple(_where_it_was(change, lost) for change in changes)
            planned = after(device, changes)
        self.step, self._after = Step.APPLYING, planned
        return [c.Apply(changes)]

    def applied(self) -> list[Command]:
        """The device is as it should be. Names follow, where they are others."""
        self.device, self._after, self.error = self._after, None, None
        told = self.told
        if self.detour is not None or (self._are_shown and not (told is not None and told.names_changed)):
            return []
        self.step, numbers = Step.NAMING, told.peers if told is not None and self._are_shown else None
        self._are_shown = True
        return [c.ShowNames(numbers)]

    def done(self) -> None:
        self.step, self.told, self.detour = Step.IDLE, None, None

    def broken_off(self, why: str | None) -> None:
        self.step, self.device, self.error = Step.IDLE, None, why or self.error
        self._are_checked = self._are_shown = False
        self.told = self.detour = self._before = self._after = None

    # -- what others do to it, and what is found for it ---------------------------------------------------------

    def take_detour(self, detour: Detour) -> list[Command]:
        self.step, self.detour = Step.READING, detour
        return [c.Read()]

    def give_port(self, port: int) -> list[Command]:
        self.device = None
        return [c.GivePort(port, must=True)]

    def session_dropped(self) -> None:
        """It was changed behind our memory of it."""
        self.device = None

    def righted(self, righted: e.Righted, now: float) -> list[Command]:
        """The link is as it should be; what had to be done for it is said."""
        commands: list[Command] = []
        done = righted.done
        if not righted.was_there:
            self._lost, self.device = self.device or self._lost, None
            commands.append(c.Log("warning", "the interface was gone: it is made anew"))
            done = ["it was gone, and is made anew"]
        return commands + self._repaired(done, now) if done else commands

    def _repaired(self, done: list[str], now: float) -> list[Command]:
        """Somebody else changed the device. It is as it should be again, and that is said."""
        self.repairs += 1
        more = f"; and {len(done) - _SAID_REPAIRS} more" if len(done) > _SAID_REPAIRS else ""
        what = "; ".join(done[:_SAID_REPAIRS]) + more
        said = c.Log("warning", "the device was changed by somebody else: put right", {"what": what})
        text = f"the device was changed by somebody else, and put right: {what}"
        return [said, self._note(now, "device.repaired", "device", text)]

    def _note(self, now: float, type_: str, subject: str, text: str) -> c.Note:
        return c.note(self._membership.netmap, now, type_, subject, text)


def _where_it_was(change: Change, lost: Device) -> Change:
    """A peer that is made anew is greeted at once where it was reached: it does not know that it should begin."""
    if not isinstance(change, SetPeer) or not change.is_new or change.endpoint is not None:
        return change
    entry = lost.peers.get(change.public_key)
    return change if entry is None or entry.endpoint is None else replace(change, endpoint=entry.endpoint)
