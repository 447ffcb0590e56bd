"""The one error of the domain: a wish that a rule of the network refuses.

`CODES` is the register: each stable code with the kind of refusal it is. The HTTP status and the exit status
follow from the kind (`wire/problems.py`, `innclient/failures.py`), so a code means the same everywhere.
"""

from typing import Literal

Kind = Literal[
    "refused",
    "not_found",
    "invalid",
    "invitation",
    "unauthorized",
    "unavailable",
    "conflict",
    "too_large",
    "too_often",
    "damaged",
]

CODES: dict[str, Kind] = {
    # what was said can't be read
    "invalid_name": "invalid",
    "invalid_address": "invalid",
    "invalid_range": "invalid",
    "invalid_key": "invalid",
    "invalid_endpoint": "invalid",
    "invalid_request": "invalid",
    "length_required": "invalid",
    "body_too_large": "invalid",
    "too_many_candidates": "too_large",
    "invalid_record": "invalid",
    "invalid_rate": "invalid",
    "invalid_checkpoint": "invalid",
    # rules of the network
    "name_taken": "refused",
    "address_taken": "refused",
    "address_burnt": "refused",
    "address_unassignable": "refused",
    "address_outside_cidr": "refused",
    "key_taken": "refused",
    "cidr_full": "refused",
    "cidr_exists": "refused",
    "cidr_overlaps": "refused",
    "cidr_outside_parent": "refused",
    "cidr_wrong_parent": "refused",
    "cidr_not_empty": "refused",
    "cidr_has_children": "refused",
    "cidr_has_associations": "refused",
    "cidr_covers_edge_address": "refused",
    "cidr_reserved": "refused",
    "association_exists": "refused",
    "record_conflict": "refused",
    "too_many_records": "refused",
    "association_with_itself": "refused",
    "peer_cannot_relay": "refused",
    "peer_not_plain": "refused",
    "peer_not_active": "refused",
    "plain_no_admin": "refused",
    "coordinator_protected": "refused",
    "peer_redeemed": "refused",
    "peer_not_redeemed": "refused",
    "peer_disabled": "refused",
    "range_public": "refused",
    # between releases
    "protocol_unknown": "refused",
    # nobody there
    "peer_not_found": "not_found",
    "cidr_not_found": "not_found",
    "association_not_found": "not_found",
    "record_not_found": "not_found",
    "network_not_found": "not_found",
    "not_found": "not_found",
    # invitations
    "invitation_expired": "invitation",
    "invitation_used": "invitation",
    # who may ask
    "unauthorized": "unauthorized",
    "not_admin": "unauthorized",
    "not_redeemed": "unauthorized",
    "proof_required": "unauthorized",
    "proof_invalid": "unauthorized",
    "foreign_origin": "unauthorized",
    "wrong_host": "unauthorized",
    # the request as a whole
    "idempotency_mismatch": "conflict",
    "revision_mismatch": "conflict",
    "receipt_ahead": "conflict",
    "store_unavailable": "unavailable",
    "log_corrupt": "damaged",
    "rate_limited": "too_often",
    "not_serving": "unavailable",
    "busy": "unavailable",
}


def plainly(error: BaseException, named: object = None) -> str:
    """What went wrong as people say it: of the operating system its words and the path (unless that is `named` beside
    it already), without a number."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error) or ("it took too long" if isinstance(error, TimeoutError) else type(error).__name__)
    where = "" if error.filename is None or str(error.filename) == str(named) else f"{error.filename}: "
    return f"{where}{error.strerror}"


class Refused(Exception):
    """A command that the network refuses, or input it can't read.

    `code` is stable and registered in CODES; `message` is one sentence for a person, with the value at fault;
    `hint` says what to do, or is None.
    """

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        assert code in CODES, code  # noqa: S101 - a typo in a code is a bug of ours
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    @property
    def kind(self) -> Kind:
        return CODES[self.code]
