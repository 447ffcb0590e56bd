"""One fixture: the land that a test is about. Whoever asks for it runs over IPv4 and IPv6."""

import pytest

from tests.domain.lands import LANDS, Land


@pytest.fixture(params=LANDS, scope="session")
def land(request: pytest.FixtureRequest) -> Land:
    return LANDS[request.param]
