"""Plays of an agent behind a firewall that lets no UDP through: when it goes by TCP, and when it comes back."""

import pytest
from msgspec.structs import replace

from innclient.core import events as e
from innclient.core.connection import Lost
from innclient.core.transport import SILENCE, State
from innerd.domain.values import Endpoint
from innerd.wire.innernet import PeerJson
from innerd.wire.stream import PeerPresence, PresenceJson
from tests.client.play import NOW, Stage
from tests.client.told import COORDINATOR, MARI, ME, hello, snapshot
from tests.world import key

LOCAL, REMOTE, BY_UDP = Endpoint("127.73.78.78:4000"), Endpoint("192.0.2.1:443"), Endpoint("192.0.2.1:51820")
OPENED, FAILED, OPEN = e.TcpOpened(LOCAL, REMOTE), e.TcpFailed("no answer"), e.UdpOpen(BY_UDP)
SILENT = e.Parted(Lost("no answer came in time", silent=True), 60.0)
HERE = PresenceJson(
    peers=[PeerPresence(peer=4, endpoint="198.51.100.4:4", candidates=[], online=True)],
    whole=True,
)


def relaying() -> PeerJson:
    return replace(COORDINATOR, is_relay=True)


@pytest.fixture
def stage() -> Stage:
    """Ryo's agent, which was told of a port for TCP."""
    stage = Stage()
    stage.connects(replace(hello(), tcp=443), snapshot(relaying(), ME, MARI), HERE)
    stage.happens(e.Ticked())
    return stage


def silent(stage: Stage, seconds: float) -> list[str]:
    stage.now += seconds
    return stage.happens(e.Closed(), SILENT)


def goes_by_tcp(stage: Stage) -> list[str]:
    silent(stage, SILENCE)
    return stage.happens(OPENED)


def at(stage: Stage, name: str) -> str | None:
    return stage.device.peers[key(name)].endpoint


def test_ten_seconds_of_silence_are_enough(stage: Stage) -> None:
    assert "open tcp at port 443" in silent(stage, SILENCE)


def test_before_that_it_waits_and_looks_again_when_they_are_over(stage: Stage) -> None:
    assert "open tcp at port 443" not in silent(stage, 4.0)
    assert stage.agent.due == NOW + SILENCE
    stage.now = NOW + SILENCE
    assert stage.happens(e.Ticked())[0] == "open tcp at port 443"
    assert "open tcp at port 443" not in stage.happens(e.Ticked()), "it is being opened"


def test_who_begins_has_ten_seconds_from_then() -> None:
    stage = Stage()
    stage.agent.transport.port = 443
    stage.now += 4.0
    assert "open tcp at port 443" not in stage.happens(SILENT)
    stage.now = NOW + SILENCE
    assert "open tcp at port 443" in stage.happens(e.Ticked())


def test_whoever_refuses_is_there(stage: Stage) -> None:
    stage.now += SILENCE
    assert "open tcp at port 443" not in stage.happens(e.Closed(), e.Parted(Lost("refused"), 60.0))
    assert stage.agent.transport.due is None


def test_without_a_port_nothing_is_tried(stage: Stage) -> None:
    stage.agent.transport.port = None
    assert "open tcp at port 443" not in silent(stage, 3600.0)


def test_the_device_takes_this_host_for_the_coordinator_and_the_stream_begins_anew(stage: Stage) -> None:
    assert goes_by_tcp(stage) == [
        "log nothing is heard by UDP: the coordinator is reached by TCP from now on",
        "note coordinator.by_tcp",
        f"reach by {LOCAL}",
        "resolve",
        "read",
        f"apply +coordinator at {LOCAL}",
        "connect after 0 s",
    ]
    assert at(stage, "coordinator") == LOCAL
    assert stage.agent.transport.state is State.TCP


def test_who_is_relayed_goes_along_there_and_back(stage: Stage) -> None:
    mari = replace(stage.device.peers[key("mari")], endpoint=BY_UDP, last_handshake=NOW)
    stage.device = replace(stage.device, peers=stage.device.peers | {key("mari"): mari})
    stage.happens(e.Ticked())
    goes_by_tcp(stage)
    assert at(stage, "mari") == LOCAL
    stage.happens(OPEN)
    assert at(stage, "mari") == BY_UDP


def test_who_is_reached_directly_stays_where_it_is(stage: Stage) -> None:
    mari = replace(stage.device.peers[key("mari")], endpoint=Endpoint("198.51.100.4:4"), last_handshake=NOW)
    stage.device = replace(stage.device, peers=stage.device.peers | {key("mari"): mari})
    stage.happens(e.Ticked())
    goes_by_tcp(stage)
    assert at(stage, "mari") == "198.51.100.4:4"


def test_an_answer_by_udp_leads_back_and_is_used_at_once(stage: Stage) -> None:
    goes_by_tcp(stage)
    met = {k: replace(entry, endpoint=LOCAL, last_handshake=stage.now) for k, entry in stage.device.peers.items()}
    stage.device = replace(stage.device, peers=met)
    stage.happens(e.Ticked())
    said = stage.happens(OPEN)
    assert said == [
        "log the coordinator answers by UDP again",
        "note coordinator.by_udp",
        "close tcp",
        "reach by udp",
        "resolve",
        "read",
        f"apply ~coordinator at {BY_UDP} ~mari at {BY_UDP}",
        "ask coordinator",
    ]
    assert at(stage, "coordinator") == BY_UDP
    assert stage.agent.transport.state is State.UDP


def test_what_is_heard_while_it_is_opened_closes_it(stage: Stage) -> None:
    silent(stage, SILENCE)
    assert "close tcp" in stage.happens(e.Told([]))
    assert stage.agent.transport.state is State.UDP


def test_attempts_that_fail_become_few(stage: Stage) -> None:
    silent(stage, SILENCE)
    pauses = []
    for _ in range(4):
        stage.happens(FAILED)
        due = stage.agent.transport.due
        assert due is not None
        pauses.append(due - stage.now)
        stage.now = due
        assert "open tcp at port 443" in stage.happens(e.Ticked())
    assert pauses == [10.0, 30.0, 60.0, 60.0]


def test_a_way_that_is_lost_is_given_up_for_udp_and_tried_again(stage: Stage) -> None:
    goes_by_tcp(stage)
    assert "reach by udp" in stage.happens(FAILED)
    assert at(stage, "coordinator") == BY_UDP
    assert stage.agent.transport.due == stage.now + SILENCE


def test_a_move_asks_by_udp_at_once(stage: Stage) -> None:
    assert "ask by udp" not in stage.happens(e.Moved("another network"))
    goes_by_tcp(stage)
    assert "ask by udp" in stage.happens(e.Moved("another network"))


def test_what_was_opened_though_udp_was_heard_meanwhile_is_closed(stage: Stage) -> None:
    silent(stage, SILENCE)
    stage.happens(e.Told([]))
    assert stage.happens(OPENED) == ["close tcp"]
    assert stage.agent.transport.state is State.UDP


def test_who_goes_back_too_soon_asks_later_the_next_time(stage: Stage) -> None:
    returns = []
    for _ in range(3):
        goes_by_tcp(stage)
        returns.append(stage.agent.transport._returns)
        stage.now += 5.0
        stage.happens(OPEN)
    assert returns == [0, 1, 2]
    stage.now += 600.0
    goes_by_tcp(stage)
    assert stage.agent.transport._returns == 0


def test_a_clock_that_is_set_back_keeps_nobody_waiting(stage: Stage) -> None:
    stage.now -= 3600.0
    silent(stage, 0.0)
    assert stage.agent.transport.due == stage.now + SILENCE


@pytest.mark.parametrize("port", [0, -1, 70_000])
def test_a_port_that_is_none_is_not_taken(stage: Stage, port: int) -> None:
    stage.agent.transport.told(port)
    assert stage.agent.transport.port is None
