"""The network's id is asked of a coordinator that may be any: what can't be read of it is no reason to fall over."""

import httpx2
import msgspec
import pytest

from innerd.admin.client import Proof
from innerd.wire.ours import Capabilities
from innerd.wire.proof import HEADER
from tests.world import key, private_key

URL = "http://10.42.0.1:51820/v1/user/state"
NO_ID = msgspec.json.encode(
    Capabilities(network="n", network_id="none", suffix="wg", admin_proof="required", version="1")
)
ID = NO_ID.replace(b'"none"', b'"%s"' % (b"ab" * 16))


@pytest.mark.parametrize(
    ("answer", "proves"),
    [(b"{", False), (b'{"network":"\xff"}', False), (b'{"x":' + b"[" * 5000, False), (NO_ID, False), (ID, True)],
    ids=["no JSON", "no UTF-8", "nested thousands deep", "an id that is none", "an id"],
)
async def test_a_request_goes_on_whatever_the_coordinator_says_of_itself(answer: bytes, proves: bool) -> None:
    flow = Proof(private_key("ryo"), key("coordinator")).async_auth_flow(httpx2.Request("GET", URL))
    asked = await anext(flow)
    request = await flow.asend(httpx2.Response(200, content=answer, request=asked))
    assert request.url == URL
    assert (HEADER in request.headers) == proves
    await flow.aclose()
