"""HTTP itself, over real sockets: what innernet's server takes and answers below the routes."""

import pytest

from innerd.domain import commands as c
from tests.api.sockets import wire
from tests.world import World

STATE = "GET /v1/user/state HTTP/1.1"


async def test_a_peer_is_known_by_the_address_it_connects_from(w: World) -> None:
    async with w.listening() as port:
        async with wire(w, "mari", port) as mari:
            mari.request("GET /v1/admin/peers HTTP/1.1")
            assert (await mari.answer())[0] == 401
        async with wire(w, "ryo", port) as ryo:
            ryo.request("GET /v1/admin/peers HTTP/1.1", f"X-Forwarded-For: {w.peer('mari').ip}")
            assert (await ryo.answer())[0] == 200


async def test_response_headers_are_innernets(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as mari:
        mari.request(STATE)
        status, headers, body = await mari.answer()
        assert status == 200
        assert headers["content-type"] == "application/json"
        assert int(headers["content-length"]) == len(body)
        assert {"server", "set-cookie"}.isdisjoint(headers)
        assert "date" in headers
        assert all(name == name.lower() for name in headers)


async def test_a_204_has_neither_length_nor_type(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as mari:
        mari.request("PUT /v1/user/candidates HTTP/1.1", "Content-Length: 2", body="[]")
        status, headers, _ = await mari.answer()
        assert status == 204
        assert {"content-length", "content-type", "transfer-encoding"}.isdisjoint(headers)
        mari.request(STATE)  # and the connection goes on
        assert (await mari.answer())[0] == 200


async def test_a_201_without_a_body_says_so(w: World) -> None:
    body = '{"cidr_id_1":3,"cidr_id_2":4}'
    async with w.listening() as port, wire(w, "ryo", port) as ryo:
        ryo.request("POST /v1/admin/associations HTTP/1.1", f"Content-Length: {len(body)}", body=body)
        status, headers, answered = await ryo.answer()
        assert (status, headers["content-length"], answered) == (201, "0", b"")
        assert "content-type" not in headers


async def test_head_is_404_without_a_body(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as mari:
        mari.request("HEAD /v1/user/state HTTP/1.1")
        assert (await mari.answer(has_body=False))[0] == 404
        mari.request(STATE)  # a body of the first would stand in front of this answer
        assert (await mari.answer())[0] == 200


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        pytest.param([STATE, "x-innernet-SERVER-key: {key}", "Host: {host}"], 200, id="header names in any case"),
        pytest.param([STATE, "X-Innernet-Server-Key: {key}"], 403, id="no host"),
        pytest.param(
            ["GET /v1/user/state HTTP/1.0", "X-Innernet-Server-Key: {key}", "Host: {host}"], 200, id="HTTP/1.0"
        ),
        pytest.param(
            ["GET http://{host}/v1/user/state HTTP/1.1", "X-Innernet-Server-Key: {key}", "Host: {host}"],
            200,
            id="absolute",
        ),
        pytest.param([STATE, "X-Innernet-Server-Key: {key}", "Host: evil.example"], 403, id="another host"),
        pytest.param([STATE, "Host: {host}"], 401, id="no server key"),
        pytest.param(
            ["DELETE /v1/admin/peers/" + "9" * 5000 + " HTTP/1.1", "X-Innernet-Server-Key: {key}", "Host: {host}"],
            404,
            id="id",
        ),
        pytest.param(["NONSENSE"], 400, id="no request line"),
        pytest.param(
            ["PUT /v1/user/candidates HTTP/1.1", "X-Innernet-Server-Key: {key}", "Content-Length: two"],
            400,
            id="a length that is no number",
        ),
    ],
)
async def test_a_request_on_the_wire(w: World, lines: list[str], status: int) -> None:
    async with w.listening() as port, wire(w, "ryo", port) as ryo:
        text = "\r\n".join(lines).format(key=w.services.server_key, host=ryo.host)
        ryo.send(text + "\r\nConnection: close\r\n\r\n")
        assert (await ryo.answer())[0] == status


async def test_requests_may_be_pipelined(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as mari:
        mari.request("GET /v1/user/capabilities HTTP/1.1")
        mari.request("GET /v1/nothing HTTP/1.1")
        mari.request(STATE)
        assert [(await mari.answer())[0] for _ in range(3)] == [200, 404, 200]


async def test_a_client_may_wait_for_a_100_before_its_body(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as mari:
        mari.request("PUT /v1/user/candidates HTTP/1.1", "Content-Length: 2", "Expect: 100-continue")
        assert (await mari.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        mari.send("[]")
        assert (await mari.answer())[0] == 204


@pytest.mark.parametrize("header", ["Content-Length: 70000", "Transfer-Encoding: chunked"])
async def test_a_body_that_will_not_be_read_is_refused_before_it_comes(w: World, header: str) -> None:
    async with w.listening() as port, wire(w, "mari", port) as mari:
        mari.request("PUT /v1/user/candidates HTTP/1.1", header)
        assert (await mari.answer())[0] == 400


async def test_a_stranger_is_refused_before_its_body_comes(w: World) -> None:
    await w.invite("kuro", "cats")
    async with w.listening() as port, wire(w, "kuro", port) as kuro:
        kuro.request("PUT /v1/user/candidates HTTP/1.1", "Content-Length: 200")
        assert (await kuro.answer())[0] == 401


async def test_a_body_that_is_cut_short_changes_nothing(w: World) -> None:
    before = w.writer.network
    async with w.listening() as port:
        async with wire(w, "mari", port) as mari:
            mari.request("PUT /v1/user/endpoint HTTP/1.1", "Content-Length: 100", body='{"option":"Set"')
        async with wire(w, "ryo", port) as ryo:  # the next is served as ever
            ryo.request(STATE)
            assert (await ryo.answer())[0] == 200
    assert w.writer.network is before


async def test_a_disabled_peers_open_connection_is_of_no_more_use(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as mari:
        mari.request(STATE)
        assert (await mari.answer())[0] == 200
        await w.do(c.DisablePeer(w.peer("mari").id))
        mari.request(STATE)
        assert (await mari.answer())[0] == 401


async def test_the_coordinators_own_address_is_no_peer(w: World) -> None:
    """A device-bound socket answers local connections too, and that peer is an admin."""
    async with w.listening() as port, wire(w, "innernet-server", port) as own:
        own.request("GET /v1/admin/peers HTTP/1.1")
        assert (await own.answer())[0] == 401
        own.request("GET /metrics HTTP/1.1")
        assert (await own.answer())[0] == 401
