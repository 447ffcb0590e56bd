"""Invitations: innernet's format, so that either's client can read either's file.

The same document with the peer's own key in place of the temporary one is the client's config file.
"""

import re
from datetime import UTC, datetime
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path

from msgspec import Struct

from innerd.command.options import require_root
from innerd.domain.claims import parse_suffix
from innerd.domain.errors import Refused, plainly
from innerd.domain.values import (
    Address,
    Endpoint,
    PublicKey,
    parse_address,
    parse_endpoint,
    parse_interface,
    parse_public_key,
    shown,
)
from innerd.failure import INVITATION, Failure
from innerd.host import toml

_WIDEST = {4: 8, 6: 32}  # prefix lengths: an invitation must not take a host's other routes

_HEAD = """\
# This is an invitation file to an innernet network.
#
# To join, you must install inn (or innernet).
#
# If you have it, just run:
#
#   inn install <this file>
#
# It holds a private key: send it over a safe way, and to nobody else.
# {good}
"""


class InterfaceSection(Struct, rename="kebab", kw_only=True):
    network_name: str
    address: str  # the peer's, with the root CIDR's prefix length
    private_key: str
    listen_port: int | None = None
    suffix: str | None = (
        None  # of names: ours; innernet ignores it. None: as the coordinator says, if it is nobody else's
    )


class ServerSection(Struct, rename="kebab", kw_only=True):
    public_key: str
    external_endpoint: str
    internal_endpoint: str
    tcp: int | None = None  # the port for who is where UDP is blocked: ours; innernet ignores it


class Invitation(Struct, rename="kebab", kw_only=True):
    """Unknown keys are ignored here, as innernet ignores them."""

    interface: InterfaceSection
    server: ServerSection


class Parsed(Struct, frozen=True, kw_only=True):
    """The values of an invitation (or of a config's two sections), checked."""

    network: str
    suffix: str | None
    address: IPv4Interface | IPv6Interface
    private_key: str
    listen_port: int | None
    server_key: PublicKey
    external: Endpoint
    internal_address: Address
    internal_port: int
    tcp: int | None = None


def check(interface: InterfaceSection, server: ServerSection) -> Parsed:
    """The values. Raises Refused or ValueError, naming what is wrong."""
    try:
        address = ip_interface(interface.address)
    except ValueError:
        raise Refused("invalid_address", f"address {shown(interface.address)} is not address/prefix") from None
    if "/" not in interface.address:
        raise Refused("invalid_address", f"address {shown(interface.address)} has no prefix length")
    try:
        parse_public_key(interface.private_key)  # the same form: 32 bytes in base64
    except Refused:
        raise Refused("invalid_key", "private-key is not a WireGuard key") from None
    if interface.listen_port is not None and not 0 < interface.listen_port < 65536:
        raise Refused("invalid_request", f"listen-port {interface.listen_port} is not a port")
    host, _, digits = server.internal_endpoint.rpartition(":")
    host, port = host.strip("[]"), int(digits) if re.fullmatch(r"[0-9]{1,5}", digits) else 0
    if not 0 < port < 65536:
        raise Refused("invalid_endpoint", f"internal-endpoint {shown(server.internal_endpoint)} is not address:port")
    if server.tcp is not None and not 0 < server.tcp < 65536:
        raise Refused("invalid_request", f"tcp {server.tcp} is not a port")
    internal = parse_address(host)
    if internal.version != address.version:
        raise Refused("invalid_address", f"address {address} and internal-endpoint {internal} are of two families")
    if address.network.prefixlen < _WIDEST[address.version]:
        raise Refused("invalid_range", f"address {address} is of a network too wide to be one")
    if internal not in address.network or internal == address.ip:
        raise Refused("invalid_address", f"internal-endpoint {internal} is not another address of {address.network}")
    return Parsed(
        network=parse_interface(interface.network_name),
        suffix=None if interface.suffix is None else parse_suffix(interface.suffix),
        address=address,
        private_key=interface.private_key,
        listen_port=interface.listen_port,
        server_key=parse_public_key(server.public_key),
        external=parse_endpoint(server.external_endpoint),
        internal_address=internal,
        internal_port=port,
        tcp=server.tcp,
    )


def read(path: Path) -> tuple[Invitation, Parsed]:
    """An invitation file. Raises Failure (exit status 8)."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Failure(INVITATION, "invitation_unreadable", f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, PermissionError):
            require_root(f"reading {path}")
        raise Failure(INVITATION, "invitation_unreadable", f"{path} can't be read: {plainly(error, path)}") from None
    invitation = toml.parse(text, Invitation, str(path), "invitation_unreadable", INVITATION)
    try:
        return invitation, check(invitation.interface, invitation.server)
    except (Refused, ValueError) as error:
        raise Failure(
            INVITATION,
            "invitation_unreadable",
            f"{path} is no invitation: {error}",
            "it may be torn or edited: ask for it again",
        ) from None


def write(invitation: Invitation, expires: int) -> bytes:
    """The file; `expires` (seconds since 1970) is told to people only: the coordinator decides."""
    good = f"It is good until {datetime.fromtimestamp(expires, UTC):%Y-%m-%d %H:%M} UTC, for one machine."
    return _HEAD.format(good=good).encode() + toml.write(invitation)
