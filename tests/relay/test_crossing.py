"""Two peers that greet each other at one moment, by way of a relay that runs."""

import pytest

from innerd.domain.values import Endpoint
from innerd.relay import relay as module
from innerd.relay.limits import Limits
from innerd.relay.relay import Relay, Setup
from innerd.relay.table import Place
from tests.client.support import eventually
from tests.relay.test_messages import initiation, key, response
from tests.relay.test_table import AT, NAMES, A, B, Sight


class Sockets:
    def __init__(self) -> None:
        self.sent: list[tuple[Endpoint, int]] = []

    def send(self, to: Place, data: bytes) -> None:
        self.sent.append((to.endpoint, data[0]))

    def close(self) -> None: ...


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> tuple[Relay, Sockets]:
    monkeypatch.setattr(module, "CROSSES", 0.05)
    monkeypatch.setattr(module, "RawSockets", lambda *_: Sockets())  # for data, of which there is none
    setup = Setup(network="lab", interface="wg", port=51820, own_key=key("relay"), limits=Limits())
    relay, sockets = Relay(setup, Sight((A, B)), lambda: None), Sockets()
    relay._sockets = sockets  # type: ignore[assignment]
    for peer in (A, B):
        relay.place(peer, AT[peer])
    return relay, sockets


def begin(relay: Relay) -> None:
    relay._hear(initiation(key(NAMES[B]), b"aaaa"), AT[A], "")
    relay._hear(initiation(key(NAMES[A]), b"bbbb"), AT[B], "")


async def test_the_second_is_not_sent_on_where_the_first_is_answered(running: tuple[Relay, Sockets]) -> None:
    relay, sockets = running
    begin(relay)
    relay._hear(response(key(NAMES[A]), b"cccc", b"aaaa"), AT[B], "")
    await eventually(lambda: relay.refused["crossed another"] == 1)
    assert sockets.sent == [(AT[B], 1), (AT[A], 2)]


async def test_it_is_sent_on_where_the_first_was_lost(running: tuple[Relay, Sockets]) -> None:
    relay, sockets = running
    begin(relay)
    assert sockets.sent == [(AT[B], 1)]
    await eventually(lambda: len(sockets.sent) == 2)
    assert sockets.sent[1] == (AT[A], 1)
    relay._hear(response(key(NAMES[B]), b"dddd", b"bbbb"), AT[A], "")
    assert sockets.sent[2] == (AT[B], 2)


async def test_who_is_no_pair_any_more_is_sent_nothing(running: tuple[Relay, Sockets]) -> None:
    relay, sockets = running
    begin(relay)
    relay.forget([A])
    await eventually(lambda: relay.refused["crossed another"] == 1)
    assert len(sockets.sent) == 1
