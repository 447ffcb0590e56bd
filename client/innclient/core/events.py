"""What happens to an agent: the events that `agent` takes in. Those below the line are answers to its own commands.

Devices, netmaps and settings are values; times come beside (`Instant`)."""

from msgspec import Struct

from innclient.core.netmap import Netmap, Whereabouts
from innclient.core.trials import Server
from innerd.domain.values import Address, Endpoint, PublicKey, Range
from innerd.wireguard.device import Device


class Stays(Struct, frozen=True):
    """It is kept running from here on, not for one cycle."""


class Opened(Struct, frozen=True):
    """A connection to the coordinator is open; it has said nothing yet."""


class Told(Struct, frozen=True):
    """Frames that came together; none: a keep-alive."""

    frames: list[Struct]


class Parted(Struct, frozen=True):
    """The connection is over, or there was none. `error` says how (`connection`, or what went wrong on our side);
    `lasted`: seconds since it was tried."""

    error: Exception
    lasted: float


class Closed(Struct, frozen=True):
    """The connection is closed, however it ended."""


class Hurried(Struct, frozen=True):
    """A connection is tried at once, whatever pause was meant."""


class Ticked(Struct, frozen=True):
    """Time for a look: at the device, at silent peers, at what could not be written."""


class Disturbed(Struct, frozen=True):
    """Somebody may have touched the interface."""


class Moved(Struct, frozen=True):
    """The ground has moved: addresses or routes of this host, or it slept; in words."""

    why: str


class Reconfigured(Struct, frozen=True):
    """The config was read again. `port` is the listen port that it asks for now, where that is another: 0 is any."""

    port: int | None


class Probing(Struct, frozen=True):
    """There are sockets to probe with now."""


class PathFound(Struct, frozen=True):
    """A way to a peer with a key carries, at an endpoint."""

    peer: int
    public_key: PublicKey
    endpoint: Endpoint


# ---------------------------------------------------------------------------------------------------------------------


class PinsSaved(Struct, frozen=True):
    """As well as the disk lets them be: what it refuses is kept in memory, and tried again."""


class Resolved(Struct, frozen=True):
    """Where the coordinator and silent peers may be tried, as addresses, and the overrides of this machine."""

    server: Server
    presence: dict[int, Whereabouts]
    overrides: dict[Address, Endpoint]


class WasRead(Struct, frozen=True):
    """The device, as it is at this moment; `took`: seconds that reading it took."""

    device: Device
    took: float = 0.0


class Applied(Struct, frozen=True):
    """The device was changed."""


class NamesShown(Struct, frozen=True):
    """So far as the host lets us; what is wrong with them is said where they are."""


class Failed(Struct, frozen=True):
    """Commands were not carried out: what the device is now, is not known. `why`: what the device refused, None where
    it is not to blame."""

    why: str | None


class Righted(Struct, frozen=True):
    """The link is as it should be. `was_there`: it is the one that we made; `done`: what was put right, in words."""

    was_there: bool
    done: list[str]


class Grounded(Struct, frozen=True):
    """The ranges of this host's links, and the device, after this host moved."""

    networks: list[Range]
    device: Device


class Answered(Struct, frozen=True):
    """Whether the coordinator answers from where this host is now."""

    is_there: bool


class SessionDropped(Struct, frozen=True):
    """The tunnel to the coordinator was forgotten on the device, or is to lead elsewhere."""


class TcpOpened(Struct, frozen=True):
    """The coordinator is reached by TCP, at `remote`; `local` is what the device is to take for it."""

    local: Endpoint
    remote: Endpoint


class TcpFailed(Struct, frozen=True):
    """It can't be reached by TCP, or not any more."""

    why: str


class UdpOpen(Struct, frozen=True):
    """It answers by UDP."""

    endpoint: Endpoint


class Written(Struct, frozen=True):
    """Whether the netmap is on the disk."""

    netmap: Netmap
    is_kept: bool


class Reported(Struct, frozen=True):
    """Whether the coordinator has heard a receipt."""

    is_heard: bool


Event = (
    Stays
    | Opened
    | Told
    | Parted
    | Closed
    | Hurried
    | Ticked
    | Disturbed
    | Moved
    | Reconfigured
    | PathFound
    | Probing
    | PinsSaved
    | Resolved
    | WasRead
    | Applied
    | NamesShown
    | Failed
    | Righted
    | Grounded
    | Answered
    | SessionDropped
    | TcpOpened
    | TcpFailed
    | UdpOpen
    | Written
    | Reported
)
