"""Deciders for invitations: redeem, reissue, expire.

Expiry is a comparison: an invitation past its time is refused at once, reversibly. Only a day later is its peer
taken away by an event, so that a clock that jumps for a minute destroys nothing.
"""

from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.errors import Refused
from innerd.domain.network import Network, Peer
from innerd.domain.peers import find_peer, free_key
from innerd.domain.values import COORDINATOR, shown

Events = tuple[e.AnyEvent, ...]

GRACE = 86_400  # seconds between an invitation's end and the end of its peer


def is_open(peer: Peer, now: float) -> bool:
    """Whether the peer's invitation can be redeemed at this moment."""
    expires = peer.invite_expires
    return not peer.is_redeemed and not peer.is_disabled and (expires is None or now < expires)


def redeem(network: Network, command: c.Redeem, now: float) -> Events:
    """Swap the temporary key for the peer's own. Again with the same key is a success: the answer may have been
    lost on the way, and the key pair must not be."""
    peer = find_peer(network, command.id)
    if peer.is_redeemed:
        if peer.public_key == command.public_key:
            return ()
        raise Refused(
            "invitation_used",
            f"the invitation of peer {shown(peer.name)} was redeemed already",
            "if that was not you, tell your administrator: somebody else has this identity",
        )
    if peer.is_disabled:
        raise Refused("peer_disabled", f"peer {shown(peer.name)} is disabled")
    if not is_open(peer, now):
        raise Refused(
            "invitation_expired",
            f"the invitation of peer {shown(peer.name)} has expired",
            "ask an administrator for a new one (reissue-invite)",
        )
    free_key(network, command.public_key)
    return (e.KeyPinned(peer=peer.id, name=peer.name, public_key=command.public_key, redeemed_at=int(now)),)


def reissue(network: Network, command: c.ReissueInvitation) -> Events:
    peer = find_peer(network, command.id)
    if peer.is_redeemed:
        anew = "retire it and add a new peer: its key is pinned by everybody who saw it"
        raise Refused(
            "peer_redeemed",
            f"peer {shown(peer.name)} has redeemed its invitation",
            None if peer.id == COORDINATOR else anew,  # which can't be retired
        )
    free_key(network, command.public_key)
    return (
        e.InvitationReissued(
            peer=peer.id,
            name=peer.name,
            public_key=command.public_key,
            invite_expires=command.invite_expires,
        ),
    )


def expire(network: Network, now: float) -> Events:
    """Free the names and addresses of peers whose invitations ended more than a day ago."""
    return tuple(
        e.InvitationExpired(peer=peer.id, name=peer.name, ip=str(peer.ip))
        for peer in network.peers.values()
        if not peer.is_redeemed and peer.invite_expires is not None and peer.invite_expires + GRACE <= now
    )
