"""Errors on the wire: `application/problem+json` (RFC 9457) with our stable `code`, and the one table of statuses."""

import msgspec
from msgspec import Struct

from innerd.domain.errors import Kind, Refused

MEDIA_TYPE = "application/problem+json"

# innernet's clients know 400, 401 and 404; the rest is for ours.
_BY_KIND: dict[Kind, int] = {
    "refused": 400,
    "invalid": 400,
    "not_found": 404,
    "invitation": 401,
    "unauthorized": 401,
    "unavailable": 503,
    "damaged": 503,
    "conflict": 412,
    "too_large": 413,
    "too_often": 429,
}
_BY_CODE = {"idempotency_mismatch": 422, "foreign_origin": 403, "wrong_host": 403}


class Problem(Struct, kw_only=True, omit_defaults=True):
    """RFC 9457. `title` is the sentence for a person, `code` is stable, `hint` says what to do, if
    anything (no `type` is the RFC's about:blank)."""

    title: str
    status: int
    code: str
    hint: str | None = None


def status_of(refused: Refused) -> int:
    """The HTTP status of a refusal."""
    return _BY_CODE.get(refused.code, _BY_KIND[refused.kind])


def problem(refused: Refused) -> Problem:
    return Problem(title=refused.message, status=status_of(refused), code=refused.code, hint=refused.hint)


def encode(what: Problem) -> bytes:
    return msgspec.json.encode(what)
