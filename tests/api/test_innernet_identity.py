"""Who is asking: innernet's server-key header, and the source address, which nothing in a request can change."""

import pytest

from tests.api.asking import HEADER, SERVER_KEY, ask
from tests.world import World, key

STATE = "/v1/user/state"


def url_safe(text: str) -> str:
    return text.replace("+", "-").replace("/", "_")


def unused_bits(text: str) -> str:
    """The same 32 bytes to a lenient decoder: the last character's two unused bits are not zero."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return text[:42] + alphabet[alphabet.index(text[42]) + 1] + "="


@pytest.mark.parametrize(
    ("header", "status"),
    [
        pytest.param(SERVER_KEY, 200, id="as it is"),
        pytest.param(SERVER_KEY.rstrip("="), 200, id="without the padding"),
        pytest.param(f"  {SERVER_KEY}\t", 200, id="blanks around it"),
        pytest.param(None, 401, id="missing"),
        pytest.param("", 401, id="empty"),
        pytest.param(key("stranger"), 401, id="another key"),
        pytest.param(url_safe(SERVER_KEY), 401, id="url-safe alphabet"),
        pytest.param(SERVER_KEY + "=", 401, id="doubled padding"),
        pytest.param(SERVER_KEY[:-1] + "==", 401, id="two pads"),
        pytest.param(unused_bits(SERVER_KEY), 401, id="unused bits not zero"),
        pytest.param(unused_bits(SERVER_KEY)[:-1], 401, id="unused bits not zero, no padding"),
        pytest.param(SERVER_KEY[:20] + " " + SERVER_KEY[20:], 401, id="a blank inside"),
        pytest.param(SERVER_KEY[:40], 401, id="cut short"),
        pytest.param(SERVER_KEY[:43] + "A=", 401, id="longer"),
        pytest.param("A" * 43 + "=", 401, id="zeros"),
        pytest.param("\xe9" + SERVER_KEY[1:], 401, id="not ASCII"),
        pytest.param(SERVER_KEY.lower(), 401, id="lower case"),
        pytest.param("notakey!", 401, id="not base64"),
        pytest.param(f'"{SERVER_KEY}"', 401, id="quoted"),
    ],
)
async def test_the_server_key_is_standard_base64_of_its_32_bytes(still: World, header: str | None, status: int) -> None:
    assert url_safe(SERVER_KEY) != SERVER_KEY, "the case of the url-safe alphabet would say nothing"
    assert (await ask(still, "mari", "GET", STATE, server_key=header)).status == status


@pytest.mark.parametrize(("first", "second", "status"), [("right", "wrong", 200), ("wrong", "right", 401)])
async def test_of_several_server_keys_the_first_counts(still: World, first: str, second: str, status: int) -> None:
    keys = {"right": SERVER_KEY, "wrong": key("stranger")}
    headers = [(HEADER, keys[first]), (HEADER, keys[second])]
    assert (await ask(still, "mari", "GET", STATE, headers=headers)).status == status


@pytest.mark.parametrize(
    "headers",
    [
        [("Forwarded", "for={ip}")],
        [("X-Forwarded-For", "{ip}")],
        [("X-Real-IP", "{ip}")],
        [("X-Client-IP", "{ip}"), ("True-Client-IP", "{ip}"), ("CF-Connecting-IP", "{ip}")],
        [("Forwarded", "for={ip}"), ("X-Forwarded-For", "{ip}"), ("X-Real-IP", "{ip}"), ("Via", "1.1 {ip}")],
    ],
    ids=lambda headers: "+".join(name for name, _ in headers),
)
async def test_forwarding_headers_are_ignored(still: World, headers: list[tuple[str, str]]) -> None:
    admins = [(name, value.format(ip=still.peer("ryo").ip)) for name, value in headers]
    assert (await ask(still, "127.42.9.9", "GET", STATE, headers=admins)).status == 401
    assert (await ask(still, "mari", "GET", "/v1/admin/peers", headers=admins)).status == 401
    users = [(name, value.format(ip=still.peer("mari").ip)) for name, value in headers]
    assert (await ask(still, "ryo", "GET", "/v1/admin/peers", headers=users)).status == 200


@pytest.mark.parametrize(
    "source",
    ["127.42.9.9", "127.0.0.1", "192.0.2.1", "::1", "::ffff:127.42.64.1", "fe80::1%eth0", "127.42.0.1"],
)
async def test_an_address_that_no_peer_owns_is_nobody(still: World, source: str) -> None:
    """An IPv4-mapped spelling of a peer's address is no peer either, nor is the coordinator's own address."""
    assert str(still.peer("oven").ip) == "127.42.64.1"
    answer = await ask(still, source, "GET", STATE)
    assert (answer.status, answer.code) == (401, "unauthorized")


async def test_an_ipv4_peer_is_not_the_ipv6_address_of_the_same_number(w: World) -> None:
    number = int(w.peer("ryo").ip)
    assert (await ask(w, f"::{number >> 16:x}:{number & 0xFFFF:x}", "GET", "/v1/admin/peers")).status == 401


async def test_a_request_without_a_source_address_is_nobody(w: World) -> None:
    scope = {"type": "http", "method": "GET", "path": STATE, "headers": [], "query_string": b"", "client": None}
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    await w.app(scope, receive, send)
    assert sent[0]["status"] == 401


async def test_a_retired_peers_address_is_nobody(w: World) -> None:
    address, number = str(w.peer("tama").ip), w.peer("tama").id
    assert (await ask(w, "ryo", "DELETE", f"/v1/admin/peers/{number}?remove=true")).status == 204
    assert (await ask(w, address, "GET", STATE)).status == 401
