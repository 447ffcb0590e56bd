"""Numbers of 5,000 digits, which Python's int() raises at: wherever one can stand they are an error of the asker."""

import pytest

from innerd.wire import proof
from tests.api.asking import ask
from tests.world import World, populated

LONG, ZEROS = "9" * 5000, "0" * 5000
PEER = (
    b'{"name":"neko","ip":null,"cidr_id":%s,"public_key":"k","persistent_keepalive_interval":25,'
    b'"is_admin":false,"is_disabled":false,"is_redeemed":true}'
)


@pytest.fixture
async def w() -> World:
    return await populated()


@pytest.mark.parametrize("number", [LONG, f"-{LONG}", f"+{LONG}", f"-{ZEROS}", ZEROS], ids=["9", "-9", "+9", "-0", "0"])
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("DELETE", "/v1/admin/peers/{}"),
        ("PATCH", "/v1/admin/peers/{}"),
        ("PUT", "/v1/admin/cidrs/{}"),
        ("DELETE", "/v1/admin/associations/{}"),
        ("GET", "/v1/admin/convergence?revision={}"),
        ("GET", "/v1/admin/convergence?wait={}"),
        ("GET", "/v1/admin/events?after={}"),
        ("GET", "/v1/admin/events?since={}"),
        ("GET", "/v1/admin/events?until={}"),
        ("GET", "/v1/admin/events?limit={}"),
        ("GET", "/v1/admin/network?at={}"),
        ("GET", "/v1/why?a={}&b=2"),
    ],
)
async def test_in_a_path_or_a_query(w: World, method: str, target: str, number: str) -> None:
    answer = await ask(w, "ryo", method, target.format(number))
    assert answer.status < 500, answer


@pytest.mark.parametrize(
    ("method", "target", "name", "value"),
    [
        ("PUT", "/v1/user/candidates", "content-length", LONG),
        ("PUT", "/v1/user/candidates", "content-length", ZEROS),
        ("DELETE", "/v1/admin/peers/3", "if-match", f'"{LONG}"'),
        ("DELETE", "/v1/admin/peers/3", proof.HEADER, f"v1 {LONG} abcdefghijkl AAAA"),
        ("DELETE", "/v1/admin/peers/3", proof.HEADER, f"v1 {ZEROS} abcdefghijkl AAAA"),
    ],
)
async def test_in_a_header(w: World, method: str, target: str, name: str, value: str) -> None:
    answer = await ask(w, "ryo", method, target, body=b"[]", headers=[(name, value)])
    assert answer.status < 500, answer


@pytest.mark.parametrize(
    ("who", "method", "target", "body"),
    [
        ("ryo", "POST", "/v1/admin/peers", PEER),
        ("ryo", "POST", "/v1/admin/associations", b'{"cidr_id_1":%s,"cidr_id_2":2}'),
        ("mari", "PUT", "/v1/user/applied", b'{"revision":%s,"refused":[]}'),
        ("mari", "POST", "/v1/user/connect", b'{"peer":%s}'),
        ("mari", "POST", "/v1/user/router", b'{"port":%s,"nonce":"00000000000000000000000000000000"}'),
        ("mari", "PUT", "/v1/user/endpoint", b'{"option":"Unset","more":%s}'),
    ],
)
@pytest.mark.parametrize("number", [LONG, f"-{LONG}", f"1e{LONG}"], ids=["9", "-9", "1e9"])
async def test_in_a_body(w: World, who: str, method: str, target: str, body: bytes, number: str) -> None:
    answer = await ask(w, who, method, target, body=body % number.encode())
    assert answer.status < 500, answer


async def test_in_an_srv_record(w: World) -> None:
    record = {"owner": "_http._tcp", "type": "SRV", "value": f"0 {LONG} 8080 mari"}
    answer = await ask(w, "ryo", "POST", f"/v1/admin/peers/{w.peer('mari').id}/records", json=record)
    assert 400 <= answer.status < 500, answer
