"""What counts as the same, where a page of the documentation shows what a command said."""

import pytest

from innerd.command.output import ago
from tests.pages import agrees

NOW = 1_000_000.0


@pytest.mark.parametrize("past", [0, 1, 21, 75, 3_700, 200_000])
def test_an_age_is_as_good_as_another_but_it_is_an_age(past: int) -> None:
    """On a loaded machine the next command is typed later."""
    said = f"    last handshake: {ago(NOW - past, NOW)}"
    for shown in ("just now", "1 seconds ago", "1 minute, 3 seconds ago"):
        assert agrees([f"    last handshake: {shown}"], [said])
    for other in ("last handshake: never", "last handshake: ago", "last handshake: now", "endpoint: just now"):
        assert not agrees([other], [said])
        assert not agrees([said], [other])
