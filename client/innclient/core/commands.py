"""What an agent does: the commands that `agent` gives, to be carried out one after the other, in order.

Some are answered with an event (named in each), before anything else is done. What may be slow, and nothing waits for
(`ASIDE`), is done beside, in order too."""

from typing import Any, Literal

from msgspec import Struct

from innclient.core.changes import Entry
from innclient.core.netmap import Netmap
from innclient.core.pins import Pins
from innclient.core.witness import Witnessed
from innerd.domain.values import Endpoint
from innerd.wire.ours import Applied as Receipt
from innerd.wireguard.device import DevicePeer
from innerd.wireguard.plan import Change


class Log(Struct, frozen=True):
    """A line for the log; `fields` are its values."""

    level: Literal["info", "warning", "error"]
    text: str
    fields: dict[str, Any] = {}
    error: Exception | None = None  # a bug of ours: with its traceback


class Note(Struct, frozen=True):
    """Entries for the journal."""

    entries: list[Entry]


def note(netmap: Netmap, now: float, type_: str, subject: str, text: str) -> Note:
    """One entry, about something that is not the network's."""
    return Note([Entry(at=now, revision=netmap.revision, type=type_, subject=subject, text=text)])


class SavePins(Struct, frozen=True):
    """-> PinsSaved"""

    pins: Pins


class Resolve(Struct, frozen=True):
    """Where the coordinator may be reached, and those of some peers (None: of all) that have presence. -> Resolved"""

    numbers: set[int] | None


class Read(Struct, frozen=True):
    """The device. -> WasRead, Failed"""


class Apply(Struct, frozen=True):
    """Changes of the device. -> Applied, Failed"""

    changes: tuple[Change, ...]


class GivePort(Struct, frozen=True):
    """Another listen port for the device; 0 is any. `must`: else it is left where another program has it. -> Failed,
    where it must"""

    port: int
    must: bool


class ShowNames(Struct, frozen=True):
    """The names of some peers (None: of all) are answered, and written, as they are now. -> NamesShown"""

    numbers: set[int] | None


class CheckNames(Struct, frozen=True):
    """The host's resolver may have lost what it was told: the link is another one."""


class PutRight(Struct, frozen=True):
    """The interface with its address, MTU and route. -> Righted, Failed"""


class LookAround(Struct, frozen=True):
    """This host's links, and the device. -> Grounded"""


class Greet(Struct, frozen=True):
    """Send peers a packet at once, so that they see where we are."""

    peers: list[DevicePeer]


class SendProbes(Struct, frozen=True):
    """There are probes to be sent: see the traversal."""


class AskForMoments(Struct, frozen=True):
    """Ask the coordinator for moments at which we and each of some peers begin."""

    peers: list[int]


class Connect(Struct, frozen=True):
    """Open a connection after so many seconds, give or take half of it; 0: at once, if there is none."""

    after: float


class HangUp(Struct, frozen=True):
    """The connection leads nowhere. -> Parted, with this error"""

    error: Exception


class AskCoordinator(Struct, frozen=True):
    """Whether it answers, on another connection. -> Answered"""


class DropSession(Struct, frozen=True):
    """Forget the tunnel to the coordinator, and try its next address. -> SessionDropped"""


class OpenTcp(Struct, frozen=True):
    """Reach the coordinator by TCP, at this port of it. `returns`: how often it was gone back to UDP too soon before.
    -> TcpOpened, TcpFailed, later"""

    port: int
    returns: int = 0


class CloseTcp(Struct, frozen=True):
    """Nobody needs it any more."""


class AskByUdp(Struct, frozen=True):
    """Ask whether the coordinator answers by UDP, if it is reached by TCP. -> UdpOpen, later"""


class ReachBy(Struct, frozen=True):
    """From now on the coordinator is where this socket of the host is; None: where its name says, at `at` if that is
    among it. `anew`: with a session that begins now. -> SessionDropped"""

    local: Endpoint | None
    anew: bool
    at: Endpoint | None = None


class TellCandidates(Struct, frozen=True):
    """Tell the coordinator where this host may be reached."""


class WriteCheckpoints(Struct, frozen=True):
    """What the coordinator signed, proofs against it most of all."""

    witnessed: Witnessed


class WriteState(Struct, frozen=True):
    """The netmap, to disk; `before` was written there last, and `peers` may be others since (None: all). -> Written"""

    netmap: Netmap
    before: Netmap
    peers: set[int] | None


class Report(Struct, frozen=True):
    """A receipt, after so many seconds. -> Reported"""

    receipt: Receipt
    after: float


ASIDE = (WriteCheckpoints, WriteState, Report)

Command = (
    Log
    | Note
    | SavePins
    | Resolve
    | Read
    | Apply
    | GivePort
    | ShowNames
    | CheckNames
    | PutRight
    | LookAround
    | Greet
    | SendProbes
    | AskForMoments
    | Connect
    | HangUp
    | AskCoordinator
    | DropSession
    | OpenTcp
    | CloseTcp
    | AskByUdp
    | ReachBy
    | TellCandidates
    | WriteCheckpoints
    | WriteState
    | Report
)
