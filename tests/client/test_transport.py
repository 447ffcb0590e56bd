"""Requests of admin verbs: sent again at most once, carried out at most once, and proven with this peer's key."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

import httpx2
import pytest

from innerd.admin.client import Proof, _Stream
from innerd.admin.invitation import Parsed
from innerd.admin.transport import Api, in_process, over_socket, over_tunnel
from innerd.domain.values import parse_endpoint
from innerd.failure import Failure
from innerd.serve.listener import Listener, control_socket
from innerd.wire.ours import NetworkJson
from tests.client.support import COORDINATOR
from tests.world import World, key, populated, private_key

CATS = {"name": "kittens", "cidr": "127.42.4.0/24", "parent": 1}


@pytest.fixture
async def kermpany() -> World:
    made = await populated(proof_required=True)
    made.now = time.time()  # proofs are checked against the coordinator's clock
    return made


def values(source: str, port: int) -> Parsed:
    """What a peer's config says of the way to the coordinator."""
    return Parsed(
        address=ip_interface(f"{source}/16"),
        private_key=private_key("nobody"),
        listen_port=None,
        server_key=key("coordinator"),
        external=parse_endpoint("192.0.2.1:51820"),
        internal_address=ip_address(COORDINATOR),
        internal_port=port,
        network="kermpany",
        suffix=None,
    )


def proof_of_key(name: str, network_id: str = "") -> Proof:
    return Proof(private_key(name), key("coordinator"), network_id)


@contextlib.asynccontextmanager
async def tunnel(kermpany: World, name: str, proof_of: str | None = None) -> AsyncIterator[Api]:
    """A peer's way to the coordinator, over a real socket, from its own address."""
    async with kermpany.listening() as port:
        proven = None if proof_of is None else proof_of_key(proof_of)
        api = over_tunnel(values(str(kermpany.peer(name).ip), port), "lo", auth=proven)
        try:
            yield api
        finally:
            await api.close()


class Losing(httpx2.AsyncBaseTransport):
    """The coordinator in this process, whose answers to the first requests are lost on the way."""

    def __init__(self, app: Any, losses: int) -> None:
        self._to = httpx2.ASGITransport(app, client=("local:0", 0))
        self.losses = losses
        self.keys: list[str | None] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.keys.append(request.headers.get("idempotency-key"))
        response = await self._to.handle_async_request(request)
        if len(self.keys) <= self.losses:
            await response.aread()
            raise httpx2.ReadError("gone")
        return response


def losing(kermpany: World, losses: int) -> tuple[Api, Losing]:
    transport = Losing(kermpany.app, losses)
    return Api(httpx2.AsyncClient(transport=transport, base_url="http://innerd")), transport


async def test_a_change_whose_answer_was_lost_is_asked_for_again_and_made_once(kermpany: World) -> None:
    api, transport = losing(kermpany, 1)
    before = kermpany.writer.network.revision
    reply = await api.change("POST", "/v1/admin/cidrs", CATS)
    assert reply.revision == kermpany.writer.network.revision == before + 1
    assert len(transport.keys) == 2
    assert len(set(transport.keys)) == 1
    assert transport.keys[0]
    await api.close()


async def test_a_change_whose_answer_is_lost_twice_is_said_to_be_unknown(kermpany: World) -> None:
    api, transport = losing(kermpany, 9)
    with pytest.raises(Failure) as failed:
        await api.change("POST", "/v1/admin/cidrs", CATS)
    assert (failed.value.status, failed.value.code, len(transport.keys)) == (5, "answer_lost", 2)
    await api.close()


async def test_two_changes_are_two_requests(kermpany: World) -> None:
    api, transport = losing(kermpany, 0)
    await api.change("POST", "/v1/admin/cidrs", CATS)
    with pytest.raises(Failure) as failed:
        await api.change("POST", "/v1/admin/cidrs", CATS)
    assert failed.value.status == 3
    assert len(set(transport.keys)) == 2
    await api.close()


async def test_a_refusal_comes_with_code_sentence_and_status(kermpany: World) -> None:
    api, _ = losing(kermpany, 0)
    with pytest.raises(Failure) as failed:
        await api.change("POST", "/v1/admin/cidrs", CATS | {"cidr": "127.42.128.0/24"})
    assert (failed.value.status, failed.value.code) == (3, "cidr_wrong_parent")
    assert "127.42.128.0/24" in failed.value.message
    with pytest.raises(Failure) as failed:
        await api.change("PATCH", "/v1/admin/peers/99", {"is_admin": True})
    assert (failed.value.status, failed.value.code) == (4, "peer_not_found")
    await api.close()


async def test_an_answer_that_is_none_of_ours_is_a_failure(kermpany: World) -> None:
    api, _ = losing(kermpany, 0)
    reply = await api.get("/v1/admin/status")
    with pytest.raises(Failure) as failed:
        reply.read(NetworkJson)
    assert failed.value.code == "answer_unreadable"
    await api.close()


async def test_a_proven_admin_may_change_the_network(kermpany: World) -> None:
    async with tunnel(kermpany, "ryo", proof_of="ryo") as api:
        before = kermpany.writer.network.revision
        reply = await api.change("POST", "/v1/admin/cidrs", CATS)
        assert reply.revision == before + 1
        assert (await api.get("/v1/network")).read(NetworkJson).name == "kermpany"


@pytest.mark.parametrize(
    ("name", "proof_of", "code"),
    [
        pytest.param("ryo", None, "proof_required", id="an admin's address without his key"),
        pytest.param("ryo", "mari", "proof_invalid", id="an admin's address with another key"),
        pytest.param("mari", "mari", "not_admin", id="who is no admin"),
    ],
)
async def test_who_may_not_is_refused_with_3(kermpany: World, name: str, proof_of: str | None, code: str) -> None:
    before = kermpany.writer.network.revision
    async with tunnel(kermpany, name, proof_of) as api:
        with pytest.raises(Failure) as failed:
            await api.change("POST", "/v1/admin/cidrs", CATS)
    assert (failed.value.status, failed.value.code) == (3, code)
    assert kermpany.writer.network.revision == before


@pytest.mark.parametrize("offset", [3600.0, -86_400.0], ids=["an hour ahead", "a day behind"])
async def test_a_wrong_clock_here_is_put_right_by_the_coordinators(kermpany: World, offset: float) -> None:
    kermpany.now = time.time() + offset
    app = kermpany.app

    async def dated(scope: Any, receive: Any, send: Any) -> None:
        async def with_date(message: Any) -> None:
            if message["type"] == "http.response.start":
                others = [pair for pair in message["headers"] if pair[0] != b"date"]
                message = {**message, "headers": [*others, (b"date", formatdate(kermpany.now, usegmt=True).encode())]}
            await send(message)

        await app(scope, receive, with_date)

    source = (str(kermpany.peer("ryo").ip), 1)
    transport = httpx2.ASGITransport(dated, client=source)
    client = httpx2.AsyncClient(
        transport=transport,
        base_url=f"http://{kermpany.services.internal_endpoint}",
        headers={"X-Innernet-Server-Key": key("coordinator")},
        auth=proof_of_key("ryo", kermpany.writer.network.id),
    )
    api = Api(client)
    reply = await api.change("POST", "/v1/admin/cidrs", CATS)
    assert reply.revision == kermpany.writer.network.revision
    await api.close()


async def test_nobody_there_is_explained_by_who_knows_the_way() -> None:
    async def explain() -> Failure:
        return Failure(5, "tunnel_unreachable", "the tunnel is dead")

    api = over_tunnel(values("127.42.128.1", 1), "lo", explain)
    with pytest.raises(Failure) as failed:
        await api.get("/v1/network")
    assert failed.value.code == "tunnel_unreachable"
    await api.close()


async def test_the_control_socket_says_who_the_local_user_is(kermpany: World, tmp_path: Path) -> None:
    listener = Listener(kermpany.app, control_socket(tmp_path / "run" / "sock"))
    await listener.start()
    api = over_socket(tmp_path / "run" / "sock")
    try:
        await api.change("POST", "/v1/admin/cidrs", CATS)
        events = (await api.get("/v1/admin/events", subject="cidr:6")).body
        assert b'"actor":"local:root"' in events
    finally:
        await api.close()
        await listener.stop()
    assert (tmp_path / "run" / "sock").stat().st_mode & 0o777 == 0o600


async def test_in_process_is_the_same_api_as_the_local_user(kermpany: World) -> None:
    api = in_process(kermpany.app, 0)
    reply = await api.change("POST", "/v1/admin/cidrs", CATS)
    assert reply.revision == kermpany.writer.network.revision
    await api.close()


async def test_whoever_read_a_connection_that_was_closed_takes_nothing_away_from_the_next_file() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stream = _Stream(ours, lambda _: None)
    reading = asyncio.create_task(stream.read(10))
    await asyncio.sleep(0)
    number = ours.fileno()
    await stream.aclose()
    next_one, other = socket.socketpair()
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_reader(next_one, lambda: heard.set_result(next_one.recv(10)))
    assert next_one.fileno() == number, "else this shows nothing"
    reading.cancel()
    await asyncio.wait([reading])
    other.send(b"there")
    async with asyncio.timeout(5):
        assert await heard == b"there"
    asyncio.get_running_loop().remove_reader(next_one)
    for one in (theirs, next_one, other):
        one.close()
