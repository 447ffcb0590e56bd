"""`[metrics] listen`: the page for a program on the coordinator's host, and for no page in a browser there."""

import pytest

from innerd.serve.exposing import MetricsOnly
from tests.world import World, populated

WHERE = "127.0.0.1:9586"
OWN = [(b"host", WHERE.encode())]


@pytest.fixture
async def exposed() -> World:
    w = await populated()

    async def page() -> bytes:
        return b"innerd_up 1\n"

    w.provide(render_metrics=page)
    return w


async def asked(w: World, headers: list[tuple[bytes, bytes]], method: str = "GET", path: str = "/metrics") -> int:
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    await MetricsOnly(w.services, WHERE)(scope, receive, send)
    assert sent[0]["status"] == 200 or sent[1]["body"] != b"innerd_up 1\n"
    return int(str(sent[0]["status"]))


async def test_a_program_on_this_host_reads_the_page_and_nothing_else(exposed: World) -> None:
    assert await asked(exposed, OWN) == 200
    assert await asked(exposed, OWN, path="/v1/admin/peers") == 404
    assert await asked(exposed, OWN, method="POST") == 404


@pytest.mark.parametrize(
    "headers",
    [
        [(b"host", b"rebound.example:9586")],
        [(b"host", b"127.0.0.1:80")],
        [],
        [*OWN, *OWN],
        [*OWN, (b"origin", b"http://evil.example")],
        [*OWN, (b"referer", b"http://127.0.0.1:9586/")],
    ],
)
async def test_a_page_that_gave_its_name_to_our_address_gets_nothing(
    exposed: World, headers: list[tuple[bytes, bytes]]
) -> None:
    assert await asked(exposed, headers) == 403
    assert await asked(exposed, headers, path="/") == 403
