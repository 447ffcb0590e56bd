"""Plays of the agent: what happens goes in, what it commands comes out as lines, in order. No loop, no socket, no disk.

The stage answers commands as a host does on which all is well; `Stage.disk_is_full`, `Stage.refuses` and such say where
it is not. What is done aside comes after what the agent waits for, as on a host that is quick.
"""

from collections import deque
from collections.abc import Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from innclient.core import commands as c
from innclient.core import events as e
from innclient.core.agent import Agent
from innclient.core.commands import ASIDE, Command
from innclient.core.membership import Identity, Membership
from innclient.core.netmap import Netmap
from innclient.core.paths import PeerPaths
from innclient.core.peer_path import Instant
from innclient.core.pins import Pins
from innclient.core.trials import Server
from innerd.domain.values import Endpoint, parse_address, parse_range
from innerd.wireguard.device import Device
from innerd.wireguard.plan import RemovePeer, SetPeer, applied
from tests.world import key, private_key

NOW = 10_000.0
SERVER = Server(key("coordinator"), parse_address("10.42.0.1"), Endpoint("192.0.2.1:51820"))
RYO = Identity(
    private_key=private_key("ryo"),
    public_key=key("ryo"),
    ip=parse_address("10.42.128.1"),
    server_key=key("coordinator"),
    server_ip=parse_address("10.42.0.1"),
)
_NAMES = {key(name): name for name in ("coordinator", "ryo", "mari", "oven", "tama", "eve")}


def agent_of(netmap: Netmap | None = None, pins: Pins | None = None) -> Agent:
    """Ryo's agent, kept running, with what its disk remembers."""
    membership = Membership(RYO, netmap or Netmap(block=parse_range("10.42.0.0/16")), pins or Pins(), {})
    paths = PeerPaths(membership, 1, tries=True)
    paths.probing(True)
    agent = Agent(membership, paths, None)
    agent.handle(e.Stays(), Instant(NOW, 0.0))
    return agent


class Stage(Struct):
    """Where a play is given: the host, as its commands find it."""

    agent: Agent = field(default_factory=agent_of)
    device: Device = field(default_factory=lambda: Device(private_key=private_key("ryo"), listen_port=51820))
    server: Server = SERVER
    disk_is_full: bool = False
    receipts_get_lost: int = 0  # so many
    refuses: str | None = None  # why the device takes no changes
    reading: float = 0.0  # seconds that a look at the device takes
    is_there: bool = True  # the interface that we made
    now: float = NOW
    hung_up: Exception | None = None

    def happens(self, *events: e.Event) -> list[str]:
        """What the agent commands because of events, and of the stage's answers, in order."""
        lines: list[str] = []
        for event in events:
            self._go_on(lines, event)
        return lines

    def hears(self, *frames: Struct) -> list[str]:
        return self.happens(e.Told(list(frames)))

    def connects(self, *frames: Struct) -> list[str]:
        """A new connection, and what comes on it."""
        return self.happens(e.Opened(), e.Told(list(frames)))

    def carries_out(self, commands: Sequence[Command]) -> list[str]:
        lines: list[str] = []
        self._carry_out(lines, commands)
        return lines

    def _go_on(self, lines: list[str], event: e.Event) -> None:
        self._carry_out(lines, self.agent.handle(event, Instant(self.now, self.now - NOW)))

    def _carry_out(self, lines: list[str], commands: Sequence[Command]) -> None:
        left, aside = deque(commands), list[Command]()
        while left:
            command = left.popleft()
            if isinstance(command, ASIDE):
                aside.append(command)
                continue
            lines.append(line(command))
            answer = self._answer(command)
            if answer is not None:
                left.extendleft(reversed(self.agent.handle(answer, Instant(self.now, self.now - NOW))))
            if isinstance(answer, e.Failed):
                break
        for command in aside:
            lines.append(line(command))
            if (answer := self._answer(command)) is not None:
                self._go_on(lines, answer)

    def _forget_coordinator(self) -> None:
        others = {at: entry for at, entry in self.device.peers.items() if at != SERVER.public_key}
        self.device = replace(self.device, peers=others)

    def _answer(self, command: Command) -> e.Event | None:
        match command:
            case c.SavePins():
                return e.PinsSaved()
            case c.Resolve():
                server, self.server = self.server, replace(self.server, moved=False)
                return e.Resolved(server, self.agent.membership.presence, {})
            case c.Read():
                return e.WasRead(self.device, self.reading)
            case c.Apply() if self.refuses is not None:
                return e.Failed(self.refuses)
            case c.Apply():
                self.device = applied(self.device, command.changes)
                return e.Applied()
            case c.ShowNames():
                return e.NamesShown()
            case c.PutRight():
                was_there, self.is_there = self.is_there, True
                return e.Righted(was_there, [])
            case c.LookAround():
                return e.Grounded([parse_range("192.168.7.0/24")], self.device)
            case c.DropSession():
                self._forget_coordinator()
                return e.SessionDropped()
            case c.ReachBy():
                self.server = replace(SERVER, endpoint=command.local or SERVER.endpoint, moved=True)
                if command.anew:
                    self._forget_coordinator()
                return e.SessionDropped()
            case c.WriteState():
                return e.Written(command.netmap, not self.disk_is_full)
            case c.Report():
                self.receipts_get_lost, lost = max(0, self.receipts_get_lost - 1), self.receipts_get_lost > 0
                return e.Reported(not lost)
            case c.HangUp():
                self.hung_up = command.error
        return None


def line(command: Command) -> str:
    """A command as a line of a play."""
    match command:
        case c.Log():
            return f"log {command.text}"
        case c.Note():
            return f"note {', '.join(entry.type for entry in command.entries)}"
        case c.Apply():
            return f"apply{''.join(sorted(map(_change, command.changes)))}"
        case c.WriteState():
            return f"write state {command.netmap.revision}"
        case c.Report():
            refused = "".join(f", {one.peer} refused" for one in command.receipt.refused)
            return f"report {command.receipt.revision}{refused}" + (
                f" after {command.after} s" if command.after else ""
            )
        case c.AskForMoments():
            return f"ask for moments {command.peers}"
        case c.Connect():
            return f"connect after {command.after} s"
        case c.GivePort():
            return f"give port {command.port}"
        case c.OpenTcp():
            return f"open tcp at port {command.port}"
        case c.ReachBy():
            return f"reach by {command.local or 'udp'}"
        case c.HangUp():
            return f"hang up: {command.error}"
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in type(command).__name__)
    return words.strip()


def _change(change: object) -> str:
    match change:
        case SetPeer():
            at = f" at {change.endpoint}" if change.endpoint else ""
            return f" {'+' if change.is_new else '~'}{_NAMES[change.public_key]}{at}"
        case RemovePeer():
            return f" -{_NAMES[change.public_key]}"
    return f" {type(change).__name__}"
