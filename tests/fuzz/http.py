"""Requests that schemathesis makes of our own OpenAPI document, right ones and wrong ones, by everybody there is: a
stranger, an invitee, a peer and an administrator with a proof and without, the local root. Never a 500.

Query parameters and conditions of a request stand in no OpenAPI of ours yet: `_QUERIES` and `_HEADERS` have them.
"""

import asyncio
import json
import time
from typing import Any
from urllib.parse import urlencode

import schemathesis.openapi
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from msgspec import Struct
from schemathesis import GenerationMode
from schemathesis.core import NotSet

from innerd.api.app import description
from innerd.domain.errors import CODES
from tests.api.asking import Answer, ask
from tests.api.proofs import proof, shared
from tests.world import World, populated

NAME = "http"  # among the targets

_PATIENCE = 20  # seconds until a request that hangs fails
_WHO = {
    "stranger": "127.42.9.9",
    "invitee": "neko",
    "peer": "mari",
    "peer with a proof": "mari",
    "admin": "ryo",
    "admin with a proof": "ryo",
    "root": None,
}
_ENDLESS = {"UserEvents"}  # it answers until one of both goes away: tests/api/test_stream_*
_ODD = [
    *("", "0", "-1", "x", "9" * 5000, "true", "ryo", "humans", "\u0661", "\ud7ff", "1.7", "@", "'\"", "peer:2"),
    *("2026-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
]
_QUERIES = (
    *("dry_run", "all_pairs", "remove", "at", "a", "b", "revision", "since", "until", "after", "limit", "type"),
    *("subject", "actor", "newest"),
)
_HEADERS = {
    "Idempotency-Key": ["a-key-of-mine", "short", "k" * 200],
    "If-Match": ['"15"', '"0"', "15", '"' + "9" * 5000 + '"', "*"],
    "X-Innerd-Proof": ["v1 0 nonce-of-mine AAAA", "v1", "", "\xff"],
    "Content-Length": ["0", "-1", "9" * 5000, "65537"],
    "Last-Event-ID": ["1.7", "x"],
    "Origin": ["http://localhost"],
    "Host": ["localhost", ""],
}


class Sent(Struct, frozen=True):
    """One request, and who makes it."""

    who: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes | None
    json: Any


def requests() -> st.SearchStrategy[Sent]:
    """A request of any operation, as its description has it or not."""
    schema = schemathesis.openapi.from_dict(_description())
    operations = [found.ok() for found in schema.get_all_operations()]
    finite = [one for one in operations if one.definition.raw["operationId"] not in _ENDLESS]
    each = [one.as_strategy(mode) for one in finite for mode in GenerationMode]
    cases = st.integers(0, len(each) - 1).flatmap(lambda number: each[number])  # whose repr is not that of all
    odd = st.sampled_from(_ODD) | st.text(max_size=20)
    queries = st.dictionaries(st.sampled_from(_QUERIES), odd, max_size=3)
    headers = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in _HEADERS.items()})
    few = st.one_of(st.just({}), st.just({}), headers)
    return st.builds(_sent, st.sampled_from(sorted(_WHO)), cases, queries, few)


def _description() -> dict[str, Any]:
    described: dict[str, Any] = json.loads(description())
    return described


def _sent(who: str, case: Any, query: dict[str, str], headers: dict[str, str]) -> Sent:
    given_query = {**(case.query if isinstance(case.query, dict) else {}), **query}
    is_bytes = isinstance(case.body, bytes)
    return Sent(
        who=who,
        method=case.method,
        path=case.formatted_path,
        query=urlencode(given_query, doseq=True, errors="replace"),
        headers=headers,
        body=case.body if is_bytes else None,
        json=None if is_bytes or isinstance(case.body, NotSet) else case.body,
    )


def explore(*, examples: int, number: int | None = None, until: float | None = None) -> None:
    """So many lives of a network, each of a few requests: with a number as the seed, else the same ones always. After
    `until` (of the monotonic clock) what is left is done without."""

    # Nothing is made smaller: that takes minutes, and a life of four requests can be read.
    phases = (Phase.explicit, Phase.generate)
    free = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=phases)

    @settings(free, max_examples=examples, derandomize=number is None)
    @given(life=st.lists(requests(), min_size=1, max_size=4))
    def lives(life: list[Sent]) -> None:
        if until is None or time.monotonic() < until:
            asyncio.run(_live(life))

    (lives if number is None else seed(number)(lives))()


async def _live(life: list[Sent]) -> None:
    w = await populated(proof_required=True)
    await w.invite("neko", "cats")
    for number, sent in enumerate(life):
        answer = await _answer(w, sent, f"nonce-{number:05}")
        assert answer.status < 500, answer
        if answer.status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.code in CODES, answer
    assert not w.fatal


async def _answer(w: World, sent: Sent, nonce: str) -> Answer:
    body = sent.body if sent.json is None else json.dumps(sent.json).encode()
    target = sent.path + (f"?{sent.query}" if sent.query else "")
    who, headers = _WHO[sent.who], dict(sent.headers)
    if who is not None and sent.who.endswith("with a proof"):
        headers["X-Innerd-Proof"] = proof(
            shared(who, "coordinator"),
            w.writer.network.id,
            sent.method,
            target,
            headers.get("Host", w.services.internal_endpoint),
            body=body or b"",
            if_match=headers.get("If-Match", ""),
            idempotency_key=headers.get("Idempotency-Key", ""),
            time=int(w.now),
            nonce=nonce,
        )
    async with asyncio.timeout(_PATIENCE):
        return await ask(w, who, sent.method, target, body=body, headers=headers.items(), proven=False)
