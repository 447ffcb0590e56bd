"""Who is asking, and what may they: identity by source address, rights as small predicates, the admin proof.

Identity is the source address of a connection that came through the WireGuard device, and nothing else: no header,
no body. WireGuard has authenticated it. On the control socket the kernel says who the local user is.
"""

import pwd
from functools import lru_cache
from hmac import compare_digest
from ipaddress import ip_address

from msgspec import Struct

from innerd.api.services import Services
from innerd.domain.errors import Refused
from innerd.domain.network import Network, Peer
from innerd.domain.values import COORDINATOR, Address
from innerd.log.codec import Who
from innerd.wire.proof import MOST_NONCES, NonceMemory, Request, check, derive_key

LOCAL = "local:"  # what the control socket writes before the uid, in place of an address
_ADMINS_NONCES = 500_000  # bulk work is proved request by request
OWN_PROCESS = -1  # in place of a process id: a verb runs the API itself, as nobody serves

Headers = dict[bytes, bytes]


class Caller(Struct, frozen=True):
    """One request's identity. `peer` is None for local users of the coordinator's host."""

    who: Who
    peer: Peer | None
    redeeming: bool = False

    @property
    def is_local(self) -> bool:
        return self.peer is None

    def still(self, network: Network, *, admin: bool) -> None:
        """Raise Refused unless who asked is still who it was, in a network that may have moved on since."""
        if self.peer is None:
            return
        now = network.peers.get(self.peer.id)
        if now is None or now.is_disabled or (not now.is_redeemed and now.public_key != self.peer.public_key):
            raise unauthorized("the source address belongs to no enabled peer")
        if admin and not now.is_admin:
            raise unauthorized("only administrators may do this", "not_admin")

    def redeemable(self) -> bool:
        """May redeem: again too, as the first answer may have been lost."""
        return self.peer is not None

    def user_capable(self) -> bool:
        return self.peer is not None and self.peer.is_redeemed and not self.redeeming

    def admin_capable(self) -> bool:
        return self.peer is None or (self.user_capable() and self.peer.is_admin)


def unauthorized(message: str, code: str = "unauthorized", hint: str | None = None) -> Refused:
    return Refused(code, message, hint)


def has_server_key(services: Services, headers: Headers) -> bool:
    """innernet's header: our public key in standard base64, `=` optional, compared in constant time."""
    given = headers.get(b"x-innernet-server-key", b"").strip()
    # As text: of one key there is one spelling in base64, but for the `=`.
    return compare_digest(given.removesuffix(b"=") if len(given) == 44 else given, services.server_key[:43].encode())


def identify(services: Services, client: tuple[str, int] | None, headers: Headers) -> Caller:
    """The session of a request below /v1. Raises Refused (401)."""
    if client is None:
        raise unauthorized("there is no source address")
    request = headers.get(b"idempotency-key", b"").decode("latin-1") or None
    if client[0].startswith(LOCAL):
        origin = "process" if client[1] == OWN_PROCESS else "socket"
        return Caller(Who(f"local:{_user(client[0])}", origin, request), None)
    if not has_server_key(services, headers):
        raise unauthorized("X-Innernet-Server-Key is missing or not this network's")
    peer = peer_at(services, client[0])
    redeeming = services.is_redeeming(peer)
    return Caller(Who(f"peer:{peer.id}", client[0], request), peer, redeeming)


@lru_cache(maxsize=4096)
def address_of(host: str) -> Address:
    """A source address as a value. A request is asked more than once who sent it, and to read an address takes longer
    than to look it up."""
    return ip_address(host)


def peer_at(services: Services, host: str) -> Peer:
    """The enabled peer that owns a source address. Raises Refused."""
    address = address_of(host)
    # A device-bound socket answers local connections too; the coordinator's own peer is admin, its users are not.
    if address == services.own_address:
        raise unauthorized("requests of the coordinator's own host go through its control socket")
    peer = services.writer.network.peer_at(address)
    if peer is None or peer.is_disabled or peer.id == COORDINATOR:
        raise unauthorized("the source address belongs to no enabled peer")
    return peer


def _user(client: str) -> str:
    number = int(client.removeprefix(LOCAL))
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


class ProofCheck:
    """Checks proofs; remembers nonces and derived keys."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._nonces = NonceMemory(since=services.clock())
        self._keys: dict[str, bytes] = {}

    def check(self, peer: Peer, header: bytes, request: Request) -> None:
        """Raises Refused `proof_invalid`, or `rate_limited` where a peer makes more than can be remembered."""
        key = self._keys.get(peer.public_key)
        if key is None:
            network_id = self._services.writer.network.id
            key = derive_key(self._services.shared_secret(peer.public_key), network_id)
            self._keys[peer.public_key] = key
        most = _ADMINS_NONCES if peer.is_admin else MOST_NONCES
        check(header.decode("latin-1"), key, request, peer.id, self._services.clock(), self._nonces, most)
