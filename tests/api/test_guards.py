"""Guards against confused deputies: browsers, other hosts' names, the coordinator's own address."""

import pytest

from tests.api.asking import ask, events_after
from tests.world import World

EVERYWHERE = [
    "/v1/user/state",
    "/v1/admin/peers",
    "/v1/network",
    "/v1/user/events",
    "/metrics",
    "/healthz",
    "/openapi.json",
]


@pytest.mark.parametrize("target", EVERYWHERE)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Origin", "http://evil.example"),
        ("Origin", "http://127.42.0.1:51820"),
        ("Origin", "null"),
        ("Origin", ""),
        ("Referer", "http://127.42.0.1:51820/"),
        ("ORIGIN", "http://evil.example"),
    ],
)
async def test_a_request_of_a_web_page_is_refused(still: World, target: str, name: str, value: str) -> None:
    answer = await ask(still, "ryo", "GET", target, headers=[(name, value)])
    assert (answer.status, answer.code) == (403, "foreign_origin")
    assert not [header for header in answer.headers if header.startswith("access-control")]


@pytest.mark.parametrize("target", EVERYWHERE)
@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:51820", "127.42.0.1", "127.42.0.1:80", "127.42.0.1:51820.evil.example", "localhost"],
)
async def test_another_host_is_refused(still: World, target: str, host: str) -> None:
    """A name that an attacker's DNS points at us (rebinding) brings its name along."""
    answer = await ask(still, "ryo", "GET", target, headers=[("Host", host)])
    assert (answer.status, answer.code) == (403, "wrong_host")


async def test_a_changing_request_of_a_web_page_changes_nothing(w: World) -> None:
    revision = w.writer.network.revision
    for who in ("ryo", None):
        answer = await ask(w, who, "DELETE", "/v1/admin/peers/3", headers=[("Origin", "http://evil.example")])
        assert answer.status == 403
    assert events_after(w, revision) == []


async def test_a_preflight_is_told_nothing(w: World) -> None:
    asked = [("Origin", "http://evil.example"), ("Access-Control-Request-Method", "DELETE")]
    answer = await ask(w, "ryo", "OPTIONS", "/v1/admin/peers/3", headers=asked)
    assert answer.status == 403
    assert not [name for name in answer.headers if name.startswith("access-control") or name == "allow"]


@pytest.mark.parametrize("target", ["/v1/user/state", "/v1/admin/peers", "/v1/user/capabilities", "/metrics"])
async def test_the_coordinators_own_address_is_refused(still: World, target: str) -> None:
    """That peer is an admin, but any program on its host could ask from its address."""
    assert still.peer("innernet-server").is_admin
    assert (await ask(still, "innernet-server", "GET", target)).status == 401


async def test_of_several_hosts_the_first_counts(w: World) -> None:
    headers = [("Host", "evil.example"), ("Host", w.services.internal_endpoint)]
    assert (await ask(w, "ryo", "GET", "/v1/user/state", headers=headers)).status == 403


async def test_healthz_is_open_to_all_and_says_nothing_but_ok(w: World) -> None:
    for who in ("mari", "127.42.9.9", "innernet-server", None):
        answer = await ask(w, who, "GET", "/healthz", server_key=None)
        assert (answer.status, answer.body) == (200, b"ok\n")
