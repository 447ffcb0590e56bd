"""What every answer says to a browser, should one ever see it: not to be shown, not framed, not guessed at."""

import pytest

from tests.api.asking import ask
from tests.world import World

ANSWERS = [
    pytest.param("mari", "/v1/user/state", {}, id="a state"),
    pytest.param("mari", "/openapi.json", {}, id="a document"),
    pytest.param("ryo", "/metrics", {}, id="metrics"),
    pytest.param("mari", "/nothing", {}, id="not found"),
    pytest.param("mari", "/v1/user/state", {"Origin": "http://evil.example"}, id="of a page"),
    pytest.param("127.42.99.99", "/v1/user/state", {}, id="to a stranger"),
    pytest.param(None, "/v1/admin/peers", {}, id="on the control socket"),
]


@pytest.mark.parametrize(("who", "target", "headers"), ANSWERS)
async def test_no_answer_is_for_a_browser(w: World, who: str | None, target: str, headers: dict[str, str]) -> None:
    answer = await ask(w, who, "GET", target, headers=headers.items())
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
