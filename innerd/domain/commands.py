"""Wishes, in the imperative: a decider turns one into events, or refuses it.

Values in commands are parsed already (`values.py`). Keys, ids, times and randomness come in from outside.
"""

from msgspec import UNSET, Struct, UnsetType

from innerd.domain.values import Address, Endpoint, Name, PublicKey, Range


class CreateNetwork(Struct, frozen=True, kw_only=True):
    id: str  # 16 random bytes, hex
    name: str
    range: Range
    public_key: PublicKey  # the coordinator's
    endpoint: Endpoint
    relays: bool = False  # whether the coordinator relays from the beginning


class ImportNetwork(Struct, frozen=True, kw_only=True):
    """A network that was innernet's, with its ids."""

    id: str  # 16 random bytes, hex
    name: str
    cidrs: tuple["ImportedCidr", ...]
    peers: tuple["ImportedPeer", ...]
    associations: tuple[tuple[int, int, int], ...]  # id and the two CIDRs'


class ImportedCidr(Struct, frozen=True):
    id: int
    name: str
    range: Range
    parent: int | None


class ImportedPeer(Struct, frozen=True, kw_only=True):
    id: int
    name: Name
    ip: Address
    public_key: PublicKey
    is_admin: bool
    is_disabled: bool
    is_redeemed: bool
    invite_expires: int | None
    endpoint: Endpoint | None


class RestoreLog(Struct, frozen=True):
    """The log goes on from a backup: another generation begins, and one that was `beyond` is not begun again."""

    beyond: int = 0


class SetNetworkEndpoint(Struct, frozen=True):
    endpoint: Endpoint


class AddCidr(Struct, frozen=True):
    name: Name
    range: Range
    parent: int | None = None  # None: the narrowest CIDR that contains the range


class RenameCidr(Struct, frozen=True):
    id: int
    name: Name


class DeleteCidr(Struct, frozen=True):
    id: int
    merge: bool = False  # give its peers back to the CIDR around it


class AddPeer(Struct, frozen=True, kw_only=True):
    name: Name
    cidr: int
    ip: Address | None  # None: the first free address of the CIDR
    public_key: PublicKey
    is_admin: bool = False
    is_disabled: bool = False
    is_redeemed: bool = False
    is_plain: bool = False  # a device without `inn`: redeemed from the beginning
    invite_expires: int | None = None
    endpoint: Endpoint | None = None


class ChangePeer(Struct, frozen=True, kw_only=True):
    """Several properties of a peer at once, as innernet's PUT has them; what is left out stays as it is."""

    id: int
    name: Name | None = None
    is_admin: bool | None = None
    is_disabled: bool | None = None
    endpoint: Endpoint | UnsetType | None = UNSET  # None: no override


class RenamePeer(Struct, frozen=True):
    id: int
    name: Name


class EnablePeer(Struct, frozen=True):
    id: int


class DisablePeer(Struct, frozen=True):
    id: int


class RemovePeer(Struct, frozen=True):
    """Delete an unredeemed peer, retire a redeemed one."""

    id: int


class GrantAdmin(Struct, frozen=True):
    id: int


class RevokeAdmin(Struct, frozen=True):
    id: int


class ReissueInvitation(Struct, frozen=True):
    id: int
    public_key: PublicKey
    invite_expires: int | None


class Redeem(Struct, frozen=True):
    id: int
    public_key: PublicKey


class ExpireInvitations(Struct, frozen=True):
    """Take away the peers whose invitations are a day past their time."""


class AddAssociation(Struct, frozen=True):
    cidr_id_1: int
    cidr_id_2: int


class DeleteAssociation(Struct, frozen=True):
    id: int


class OverrideEndpoint(Struct, frozen=True):
    id: int
    endpoint: Endpoint | None  # None: clear the override


class WriteConfig(Struct, frozen=True):
    """A plain peer's file is written again, as the network is now."""

    id: int


class AllowRelay(Struct, frozen=True):
    id: int


class DisallowRelay(Struct, frozen=True):
    id: int


class AddRecord(Struct, frozen=True, kw_only=True):
    """A DNS record; `name` and names in `value` are relative to the network's domain."""

    name: str
    rrtype: str
    value: str


class DeleteRecord(Struct, frozen=True):
    id: int


Command = (
    CreateNetwork
    | ImportNetwork
    | RestoreLog
    | SetNetworkEndpoint
    | AddCidr
    | RenameCidr
    | DeleteCidr
    | AddPeer
    | ChangePeer
    | RenamePeer
    | EnablePeer
    | DisablePeer
    | RemovePeer
    | GrantAdmin
    | RevokeAdmin
    | ReissueInvitation
    | Redeem
    | ExpireInvitations
    | AddAssociation
    | DeleteAssociation
    | OverrideEndpoint
    | WriteConfig
    | AllowRelay
    | DisallowRelay
    | AddRecord
    | DeleteRecord
)
