"""Problems on the wire: every code of the domain has a status that innernet's clients can read."""

import json

import pytest

from innerd.domain.errors import CODES, Refused
from innerd.wire.problems import encode, problem, status_of

# Written down again: what the contract and innernet's table say of these.
STATUS = {
    "invalid_key": 400,
    "name_taken": 400,
    "cidr_full": 400,
    "coordinator_protected": 400,
    "length_required": 400,
    "body_too_large": 400,
    "peer_not_found": 404,
    "not_found": 404,
    "unauthorized": 401,
    "not_admin": 401,
    "invitation_used": 401,
    "invitation_expired": 401,
    "proof_required": 401,
    "proof_invalid": 401,
    "foreign_origin": 403,
    "wrong_host": 403,
    "revision_mismatch": 412,
    "too_many_candidates": 413,
    "rate_limited": 429,
    "idempotency_mismatch": 422,
    "store_unavailable": 503,
}


@pytest.mark.parametrize(("code", "status"), STATUS.items(), ids=STATUS)
def test_a_code_has_its_status(code: str, status: int) -> None:
    assert status_of(Refused(code, "x")) == status


def test_every_code_has_a_status_of_an_error() -> None:
    assert {status_of(Refused(code, "x")) for code in CODES} <= {400, 401, 403, 404, 412, 413, 429, 422, 503}


def test_a_problem_says_title_status_code_and_hint() -> None:
    told = json.loads(encode(problem(Refused("name_taken", "a peer exists", "choose another"))))
    assert told == {"title": "a peer exists", "status": 400, "code": "name_taken", "hint": "choose another"}
    assert "hint" not in json.loads(encode(problem(Refused("name_taken", "a peer exists"))))
