"""Errors with a body: RFC 9457 for people and programs, on every way a request can be refused."""

import pytest

from innerd.log.store import StoreError
from tests.api.asking import Answer, ask
from tests.world import World


def assert_problem(answer: Answer, status: int, code: str) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["content-length"]) == len(answer.body)
    problem = answer.json()
    assert answer.status == problem["status"] == status
    assert problem["code"] == code
    assert problem["title"]
    assert set(problem) <= {"title", "status", "code", "hint"}
    assert problem.get("hint", "none") is not None, "an absent hint is left out, not null"


@pytest.mark.parametrize(
    ("who", "method", "target", "more", "status", "code"),
    [
        ("mari", "GET", "/nothing", {}, 404, "not_found"),
        ("mari", "GET", "/v1/nothing", {}, 404, "not_found"),
        ("127.42.9.9", "GET", "/v1/user/state", {}, 401, "unauthorized"),
        ("mari", "GET", "/v1/user/state", {"server_key": None}, 401, "unauthorized"),
        ("mari", "GET", "/v1/admin/peers", {}, 401, "not_admin"),
        ("kuro", "GET", "/v1/user/state", {}, 401, "not_redeemed"),
        ("mari", "GET", "/v1/user/state", {"headers": [("Origin", "http://x.example")]}, 403, "foreign_origin"),
        ("mari", "GET", "/v1/user/state", {"headers": [("Host", "x.example")]}, 403, "wrong_host"),
        ("mari", "PUT", "/v1/user/endpoint", {"length": False}, 400, "length_required"),
        ("mari", "PUT", "/v1/user/endpoint", {"body": b"{"}, 400, "invalid_request"),
        ("mari", "PUT", "/v1/user/candidates", {"body": b" " * 65_537}, 400, "body_too_large"),
        ("mari", "PUT", "/v1/user/candidates", {"json": ["1.1.1.1:1"] * 11}, 413, "too_many_candidates"),
        ("ryo", "DELETE", "/v1/admin/peers/77", {}, 404, "peer_not_found"),
        ("ryo", "DELETE", "/v1/admin/peers/3", {"headers": [("If-Match", '"1"')]}, 412, "revision_mismatch"),
        ("ryo", "DELETE", "/v1/admin/peers/3", {"headers": [("If-Match", "W/x")]}, 400, "invalid_request"),
        ("ryo", "DELETE", "/v1/admin/peers/3", {"headers": [("If-Match", "\xb2")]}, 400, "invalid_request"),
        ("ryo", "DELETE", "/v1/admin/peers/3", {"headers": [("Idempotency-Key", "short")]}, 400, "invalid_request"),
        ("ryo", "DELETE", "/v1/admin/peers/3", {"headers": [("Idempotency-Key", "x" * 129)]}, 400, "invalid_request"),
        ("mari", "GET", "/metrics", {}, 401, "unauthorized"),
        ("mari", "GET", "/healthz", {"headers": [("Referer", "http://x.example/")]}, 403, "foreign_origin"),
    ],
)  # fmt: skip
async def test_a_refusal_is_a_problem(
    w: World, who: str, method: str, target: str, more: dict[str, object], status: int, code: str
) -> None:
    await w.invite("kuro", "cats")
    before = w.writer.network
    assert_problem(await ask(w, who, method, target, **more), status, code)  # type: ignore[arg-type]
    assert w.writer.network is before


async def test_a_revision_of_5000_digits_is_no_bug_of_ours(w: World) -> None:
    answer = await ask(w, "ryo", "DELETE", "/v1/admin/peers/3", headers=[("If-Match", "1" * 5000)])
    assert answer.status in (400, 412)


async def test_a_hint_says_what_to_do(w: World) -> None:
    body = {"name": "cats", "cidr": "127.42.5.0/24"}
    assert (await ask(w, "ryo", "POST", "/v1/admin/cidrs", json=body)).json()["hint"] == "choose another name"


async def test_a_message_repeats_no_raw_control_characters(w: World) -> None:
    """Messages end up on terminals."""
    body = {"name": "\x1b]0;owned\x07", "cidr": "127.42.5.0/24"}
    answer = await ask(w, "ryo", "POST", "/v1/admin/cidrs", json=body)
    assert answer.code == "invalid_name"
    assert answer.json()["title"].isprintable()


async def test_a_full_disk_is_503_and_reading_goes_on(w: World) -> None:
    w.store.broken = StoreError("disk full")
    before = w.writer.network
    answer = await ask(w, "ryo", "DELETE", f"/v1/admin/peers/{w.peer('mari').id}")
    assert_problem(answer, 503, "store_unavailable")
    assert w.writer.network is before
    assert (await ask(w, "mari", "GET", "/v1/user/state")).status == 200
    w.store.broken = None
    assert (await ask(w, "ryo", "DELETE", f"/v1/admin/peers/{w.peer('mari').id}")).status == 204


async def test_a_collision_of_names_tells_a_user_nothing(w: World) -> None:
    """Only administrators can ask for what would collide: a user's refusals name no peer it can't see."""
    await w.invite("kuro", "humans")
    answer = await ask(w, "kuro", "POST", "/v1/user/redeem", json={"public_key": w.peer("tama").public_key})
    assert answer.code == "key_taken"
    assert b"tama" not in answer.body
    assert str(w.peer("tama").ip).encode() not in answer.body
