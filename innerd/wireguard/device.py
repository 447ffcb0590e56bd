"""A WireGuard device, its peers, and what can go wrong with one."""

from base64 import b64decode, b64encode

from msgspec import Struct, field

from innerd.domain.values import Address, Endpoint, PublicKey


def only(ip: Address) -> frozenset[str]:
    """The allowed IPs of a peer: its one address."""
    return frozenset({f"{ip}/{ip.max_prefixlen}"})


class DevicePeer(Struct, frozen=True, kw_only=True):
    """An entry on a device. `last_handshake` is in seconds since 1970, None if there never was one."""

    public_key: PublicKey
    allowed_ips: frozenset[str] = frozenset()  # as "10.42.0.1/32"
    endpoint: Endpoint | None = None
    keepalive: int = 0  # seconds, 0 is off
    last_handshake: float | None = None
    rx_bytes: int = 0
    tx_bytes: int = 0


_YEAR_9999 = 253_370_764_800  # where calendars end


def handshake_of(seconds: int, nanoseconds: int) -> float | None:
    """When the last handshake was, None if there never was one. Raises ValueError for what is no time."""
    if not (0 <= seconds <= _YEAR_9999 and 0 <= nanoseconds < 10**9):
        raise ValueError(f"a handshake at {seconds}.{nanoseconds} s")
    return seconds + nanoseconds / 1e9 or None


class Device(Struct, frozen=True, kw_only=True):
    """What a device is now. `private_key` is base64 and secret: it is left out of `repr`."""

    private_key: str = ""
    listen_port: int = 0
    peers: dict[PublicKey, DevicePeer] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Device(listen_port={self.listen_port}, peers={len(self.peers)})"


class WantedPeer(Struct, frozen=True, kw_only=True):
    """An entry as it should be. `endpoint` None: leave it; with `force_endpoint` it is set even over another.

    WireGuard sends no second initiation within 5 s (whitepaper 6.4), whatever endpoint it learns meanwhile. So an
    entry that never shook hands is made anew where its endpoint is forced: then it begins at once.
    """

    public_key: PublicKey
    allowed_ips: frozenset[str]
    keepalive: int
    endpoint: Endpoint | None = None
    force_endpoint: bool = False


class Wanted(Struct, frozen=True, kw_only=True):
    """A device as it should be. `listen_port` None: whatever it has."""

    private_key: str
    peers: dict[PublicKey, WantedPeer]
    listen_port: int | None = None

    def __repr__(self) -> str:
        return f"Wanted(listen_port={self.listen_port}, peers={len(self.peers)})"


def clamped(private_key: str) -> str:
    """A private key as a device gives it back (RFC 7748 section 5): five of its bits are fixed."""
    raw = bytearray(b64decode(private_key))
    if len(raw) == 32:
        raw[0] &= 248
        raw[31] = (raw[31] & 127) | 64
    return b64encode(raw).decode()


class DeviceError(Exception):
    """WireGuard, netlink or the operating system refused (exit status 6). `code` is stable."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class NoSuchDevice(DeviceError):
    def __init__(self, interface: str) -> None:
        super().__init__("interface_down", f"the interface {interface} is not up", f"bring it up: inn up {interface}")
