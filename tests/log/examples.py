"""One event of every type, as the golden files hold it, with what an envelope says beside it."""

from innerd.domain import events as e
from innerd.log.codec import Who

SEQ = 7
NOW = 1_772_366_400.25
WHO = Who("peer:2", "10.42.0.2", "4f1c")
KEY = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="

EVENTS: tuple[e.AnyEvent, ...] = (
    e.NetworkCreated(id="00112233445566778899aabbccddeeff", name="kermpany", range="10.42.0.0/16"),
    e.NetworkEndpointChanged(peer=1, endpoint="[2001:db8::1]:51820", was="192.0.2.1:51820"),
    e.CidrCreated(id=3, name="humans", range="10.42.128.0/17", parent=1),
    e.CidrRenamed(id=3, name="people", was="humans"),
    e.CidrDeleted(id=3, name="people", range="10.42.128.0/17"),
    e.PeerAdded(
        id=5,
        name="ryo-laptop",
        ip="10.42.128.1",
        public_key=KEY,
        is_admin=True,
        is_redeemed=False,
        invite_expires=1_773_576_000,
        endpoint="198.51.100.7:51820",
    ),
    e.PeerRenamed(id=5, name="ryo", was="ryo-laptop"),
    e.PeerEnabled(id=5, name="ryo"),
    e.PeerDisabled(id=5, name="ryo"),
    e.PeerDeleted(id=5, name="ryo", ip="10.42.128.1"),
    e.PeerRetired(id=5, name="ryo", ip="10.42.128.1"),
    e.PeerAdminGranted(id=5, name="ryo"),
    e.PeerAdminRevoked(id=5, name="ryo"),
    e.InvitationReissued(peer=5, name="ryo", public_key=KEY, invite_expires=None),
    e.InvitationExpired(peer=5, name="ryo", ip="10.42.128.1"),
    e.KeyPinned(peer=5, name="ryo", public_key=KEY, redeemed_at=1_772_366_400),
    e.AssociationAdded(id=2, cidr_id_1=3, cidr_id_2=4),
    e.AssociationDeleted(id=2, cidr_id_1=3, cidr_id_2=4),
    e.EndpointOverridden(peer=5, name="ryo", endpoint="ryo.example:51820", was=None),
    e.EndpointOverrideCleared(peer=5, name="ryo", was="ryo.example:51820"),
    e.ConfigWritten(peer=5, name="ryo", revision=6),
    e.RelayAllowed(peer=1, name="innernet-server"),
    e.RelayDisallowed(peer=1, name="innernet-server"),
    e.RecordAdded(id=3, peer=5, name="git.ryo", owner="git.@", rrtype="CNAME", value="@"),
    e.RecordDeleted(id=3, peer=5, name="git.ryo", owner="git.@", rrtype="CNAME", value="@"),
    e.LogRestored(generation=2, from_revision=6),
)
