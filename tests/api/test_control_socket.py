"""The control socket: the local user, as the kernel says (SO_PEERCRED), is who asks."""

import json
import os
import pwd
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from innerd.serve.listener import Listener, control_socket
from innerd.wireguard.device import DeviceError
from tests.world import Dated, World

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
async def local(w: World, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    path = tmp_path / "run" / "kermpany.sock"
    listener = Listener(Dated(w), control_socket(path))
    await listener.start()
    transport = httpx2.AsyncHTTPTransport(uds=str(path))
    async with httpx2.AsyncClient(transport=transport, base_url="http://innerd") as client:
        yield client
    await listener.stop()


async def test_a_local_user_administers_without_key_host_or_proof(w: World, local: httpx2.AsyncClient) -> None:
    w.provide(proof_required=True)
    answer = await local.post("/v1/admin/cidrs", json={"name": "birds", "cidr": "127.42.5.0/24"})
    assert answer.status_code == 201
    record = json.loads(w.store.records[-1].record)
    assert (record["actor"], record["origin"]) == (f"local:{ME}", "socket")


async def test_nobody_can_say_to_be_another_local_user(w: World, local: httpx2.AsyncClient) -> None:
    headers = {"X-Forwarded-For": "local:12345", "Forwarded": "for=local:12345", "Host": "local:12345"}
    body = {"name": "birds", "cidr": "127.42.5.0/24"}
    assert (await local.post("/v1/admin/cidrs", json=body, headers=headers)).status_code == 201
    assert json.loads(w.store.records[-1].record)["actor"] == f"local:{ME}"


async def test_the_routes_of_peers_are_not_for_local_users(local: httpx2.AsyncClient) -> None:
    for target in ("/v1/user/state", "/v1/user/events"):
        assert (await local.get(target)).status_code == 401
    body = {"public_key": "AAAA"}
    assert (await local.post("/v1/user/redeem", json=body)).status_code in (400, 401)


async def test_a_web_page_is_refused_on_the_socket_too(local: httpx2.AsyncClient) -> None:
    answer = await local.get("/v1/admin/peers", headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403


async def test_metrics_are_for_local_users(w: World, local: httpx2.AsyncClient) -> None:
    async def page() -> bytes:
        return b"innerd_up 1\n"

    w.provide(render_metrics=page)
    assert (await local.get("/metrics")).text == "innerd_up 1\n"


async def test_the_socket_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "run" / "kermpany.sock"
    with control_socket(path):
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
        assert [entry.name for entry in path.parent.iterdir()] == ["kermpany.sock"]


async def test_a_socket_that_a_killed_coordinator_left_is_replaced(w: World, tmp_path: Path) -> None:
    path = tmp_path / "kermpany.sock"
    control_socket(path).close()  # as SIGKILL leaves it: a file that nobody listens on
    assert path.exists()
    listener = Listener(Dated(w), control_socket(path))
    await listener.start()
    async with httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(uds=str(path))) as client:
        assert (await client.get("http://innerd/healthz")).text == "ok\n"
    await listener.stop()


def test_a_socket_that_cant_be_made_is_a_device_error(tmp_path: Path) -> None:
    (tmp_path / "kermpany.sock").mkdir()
    with pytest.raises(DeviceError, match=r"kermpany\.sock") as raised:
        control_socket(tmp_path / "kermpany.sock")
    assert raised.value.code == "os_error"


async def test_an_ended_listener_lets_go_of_its_socket(w: World, tmp_path: Path) -> None:
    listener = Listener(w.app, control_socket(tmp_path / "one.sock"))
    await listener.start()
    await listener.stop()
    transport = httpx2.AsyncHTTPTransport(uds=str(tmp_path / "one.sock"))
    async with httpx2.AsyncClient(transport=transport) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get("http://innerd/healthz")
