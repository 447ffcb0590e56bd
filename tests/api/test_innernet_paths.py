"""innernet's path rules: what its router makes of slashes, trailing components, ids and methods."""

import pytest

from tests.api.asking import ask
from tests.world import World

STATE = "/v1/user/state"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        pytest.param(STATE, 200, id="as written"),
        pytest.param("//v1/user/state", 200, id="leading slashes are dropped"),
        pytest.param("/////v1/user/state", 200, id="all of them"),
        pytest.param("/v1/user/state/foo", 200, id="a trailing component is ignored"),
        pytest.param("/v1/user/state/", 200, id="an empty one too"),
        pytest.param("/v1/user/state/a/b/c", 200, id="several"),
        pytest.param("/v1/user/state?peer=1", 200, id="the query is ignored"),
        pytest.param("/v1//user/state", 404, id="an inner empty component counts"),
        pytest.param("/v1/user/%73tate", 404, id="nothing is percent-decoded"),
        pytest.param("/v1/user%2fstate", 404, id="not even slashes"),
        pytest.param("/v1/User/state", 404, id="case matters"),
        pytest.param("/v1/user/./state", 404, id="dots are no navigation"),
        pytest.param("/v1/user/x/../state", 404, id="nor double dots"),
        pytest.param("/v1/user", 404, id="an area is no route"),
        pytest.param("/v1", 404, id="nor the version"),
        pytest.param("/v1/", 404, id="nor the version with a slash"),
        pytest.param("/v2/user/state", 404, id="there is no v2"),
        pytest.param("/v1x/user/state", 404, id="v1x is not v1"),
        pytest.param("/", 404, id="the root"),
        pytest.param("/metrics/foo", 404, id="our open routes have nothing below them"),
    ],
)
async def test_a_path_is_split_at_slashes_and_nothing_else(still: World, target: str, status: int) -> None:
    assert (await ask(still, "mari", "GET", target)).status == status


@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param("{id}", 204, id="plain"),
        pytest.param("+{id}", 204, id="a plus"),
        pytest.param("00{id}", 204, id="zeros"),
        pytest.param("+00{id}", 204, id="a plus and zeros"),
        pytest.param("{id}/x", 204, id="a trailing component"),
        pytest.param("{id}/", 204, id="a trailing slash"),
        pytest.param("", 404, id="empty"),
        pytest.param("%3{id}", 404, id="percent-encoded"),
        pytest.param("1_0", 404, id="underscores"),
        pytest.param(" {id}", 404, id="a blank before"),
        pytest.param("{id} ", 404, id="a blank behind"),
        pytest.param("{id}.0", 404, id="a fraction"),
        pytest.param("0x{id}", 404, id="hexadecimal"),
        pytest.param("\xb2", 404, id="a digit that is not ASCII"),
        pytest.param("++{id}", 404, id="two pluses"),
        pytest.param("-{id}", 404, id="negative: an id that nobody has"),
        pytest.param(str(2**63 - 1), 404, id="the greatest i64: an id that nobody has"),
        pytest.param(str(2**63), 404, id="beyond i64"),
        pytest.param("9" * 5000, 404, id="far beyond i64"),
        pytest.param("mari", 404, id="a name"),
    ],
)
async def test_an_id_is_what_rust_reads_as_i64(w: World, number: str, status: int) -> None:
    victim = w.peer("oven")
    target = "/v1/admin/peers/" + number.replace("{id}", str(victim.id))
    assert (await ask(w, "ryo", "DELETE", target)).status == status
    assert w.peer("oven").is_disabled == (status == 204)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/admin/peers/"),
        ("POST", "/v1/admin/peers/"),
        ("PUT", "/v1/admin/peers/"),
        ("DELETE", "/v1/admin/peers/"),
        ("GET", "/v1/admin/cidrs/"),
        ("GET", "/v1/admin/peers/1"),
        ("POST", "/v1/admin/peers/1"),
        ("GET", "/v1/admin/cidrs/1"),
        ("GET", "/v1/admin/associations/1"),
        ("PUT", "/v1/admin/associations/1"),
        ("DELETE", "/v1/admin/peers"),
        ("PUT", "/v1/admin/cidrs"),
        ("GET", "/v1/admin"),
        ("GET", "/v1/admin/nothing"),
    ],
)
async def test_an_empty_component_counts_as_an_id(still: World, method: str, target: str) -> None:
    answer = await ask(still, "ryo", method, target, json={})
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW", "get"])
async def test_a_wrong_method_is_404_never_405(w: World, method: str) -> None:
    answer = await ask(w, "mari", method, STATE, json={})
    assert answer.status == 404
    assert "allow" not in answer.headers


@pytest.mark.parametrize("target", ["/v1/admin/peers", "/v1/admin/cidrs/1", "/v1/user/redeem", "/metrics", "/healthz"])
@pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "TRACE"])
async def test_no_route_answers_options_or_head(still: World, method: str, target: str) -> None:
    """innernet knows neither, and an answer to OPTIONS is what a browser asks before it sends what it may not."""
    answer = await ask(still, "ryo", method, target)
    assert answer.status == 404
    assert "allow" not in answer.headers


@pytest.mark.parametrize("target", [STATE, "/v1/nothing", "/v1", "/v1/admin/peers", "/v1/user/events", "/v1/a/b/c"])
async def test_below_v1_authentication_comes_before_404(still: World, target: str) -> None:
    assert (await ask(still, "127.42.9.9", "GET", target)).status == 401
    assert (await ask(still, "mari", "GET", target, server_key=None)).status == 401


@pytest.mark.parametrize("target", ["/", "/nothing", "/v2/user/state", "/admin", "/v1x"])
async def test_outside_v1_it_is_404_to_strangers_too(still: World, target: str) -> None:
    assert (await ask(still, "127.42.9.9", "GET", target, server_key=None)).status == 404


@pytest.mark.parametrize("target", ["/v1/admin", "/v1/admin/nothing", "/v1/admin/peers/x", "/v1/admin/"])
async def test_the_admin_check_precedes_admin_sub_routes(still: World, target: str) -> None:
    assert (await ask(still, "mari", "GET", target)).status == 401
    assert (await ask(still, "ryo", "GET", target)).status == 404
