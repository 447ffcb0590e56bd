"""Plays of the agent: the order in which what happens becomes device, names, disk and receipts."""

from typing import Any

import pytest
from msgspec.structs import replace

from innclient.core import commands as c
from innclient.core import device
from innclient.core import events as e
from innclient.core.connection import Lost, State
from innclient.core.peer_path import Instant
from innclient.core.pins import Pins
from innclient.core.witness import Witnessed
from innerd.domain.values import Endpoint
from innerd.failure import Failure
from innerd.wire.stream import Bye, Connect, DeltaJson, PeerPresence, PresenceJson
from innerd.wireguard.device import DeviceError
from innerd.wireguard.plan import applied
from tests.client.play import NOW, Stage, agent_of, line
from tests.client.told import COORDINATOR, MARI, ME, hello, netmap, peer_json, snapshot
from tests.world import key

OVEN = peer_json(5, "oven", "10.42.64.1")
GREETED = ["log connected", "note coordinator.connected", "tell candidates"]


def whole(*numbers: int) -> PresenceJson:
    return replace(online(*numbers), whole=True)


def online(*numbers: int) -> PresenceJson:
    told = [PeerPresence(peer=n, endpoint="198.51.100.4:4", candidates=[], online=True) for n in numbers]
    return PresenceJson(peers=told, whole=False)


def delta(revision: int, **changes: Any) -> DeltaJson:
    return DeltaJson(**{"revision": revision, "head_hash": f"h{revision}"} | changes)


@pytest.fixture
def stage() -> Stage:
    """Ryo's agent, in step with a network of the coordinator, itself and mari, who has just shaken hands."""
    stage = Stage()
    stage.connects(hello(), snapshot(COORDINATOR, ME, MARI), whole())
    heard = replace(stage.device.peers[key("mari")], last_handshake=NOW)
    stage.device = replace(stage.device, peers=stage.device.peers | {key("mari"): heard})
    stage.happens(e.Ticked())
    return stage


# -- the order --------------------------------------------------------------------------------------------------------


def test_pins_come_before_the_device_before_names_before_the_disk_before_the_receipt() -> None:
    assert Stage().connects(hello(), snapshot(COORDINATOR, ME, MARI), whole()) == [
        *GREETED,
        "note peer.seen, peer.seen, peer.seen, cidr.seen, cidr.seen",
        "save pins",
        "resolve",
        "read",
        "apply +coordinator at 192.0.2.1:51820 +mari",
        "show names",
        "write state 10",
        "report 10",
    ]


def test_a_change_of_one_peer_reads_no_device_and_writes_no_pins_that_are_known(stage: Stage) -> None:
    assert stage.hears(delta(11, gone=[4])) == [
        "note peer.gone",
        "resolve",
        "apply -mari",
        "show names",
        "write state 11",
        "report 11",
    ]


def test_a_peer_that_is_new_is_pinned_before_it_is_on_the_device(stage: Stage) -> None:
    assert stage.hears(delta(11, peers=[OVEN])) == [
        "note peer.seen",
        "save pins",
        "resolve",
        "apply +oven",
        "show names",
        "write state 11",
        "report 11",
    ]


def test_a_device_that_may_have_heard_of_a_peer_since_is_read_first(stage: Stage) -> None:
    stage.now += 200.0  # seconds: as far as we know she is silent
    assert stage.hears(online(4))[:2] == ["resolve", "read"]


def test_a_look_that_takes_long_is_not_taken_for_everybody_who_comes_online(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "MANY", 1)
    stage.now += 200.0  # seconds: as far as we know she is silent
    stage.reading = 0.5
    stage.happens(e.Ticked())
    stage.now += 1.0
    assert "read" not in stage.hears(online(4))
    assert stage.agent.due == NOW + 210.0, "twenty times as long"
    stage.now += 9.0
    assert stage.happens(e.Ticked())[:2] == ["resolve", "read"]
    assert stage.agent.due is None


# -- what is not believed ---------------------------------------------------------------------------------------------


def test_a_key_that_is_not_the_pinned_one_never_reaches_the_device(stage: Stage) -> None:
    said = stage.hears(delta(11, peers=[replace(MARI, public_key=key("eve"))]))
    assert said == [
        "note peer.key",
        "log pinned key changed: not applied",
        "note key.refused",
        "save pins",
        "resolve",
        "apply -mari",
        "show names",
        "write state 11",
        "report 11, 4 refused",
    ]
    assert key("eve") not in stage.device.peers


def test_a_key_that_somebody_of_this_machine_trusts_is_applied_and_said_again(stage: Stage) -> None:
    stage.hears(delta(11, peers=[replace(MARI, public_key=key("eve"))]))
    broken, commands = stage.agent.trust("mari", key("eve"), Instant(NOW, 0.0), has_device=True)
    assert (broken.name, broken.offered) == ("mari", key("eve"))
    assert stage.carries_out(commands) == [
        "log a changed key is trusted from now on",
        "note key.trusted",
        "save pins",
        "resolve",
        "read",
        "apply +eve",
        "show names",
        "report 11",
    ]


def test_a_key_that_was_not_looked_at_is_not_trusted(stage: Stage) -> None:
    stage.hears(delta(11, peers=[replace(MARI, public_key=key("eve"))]))
    with pytest.raises(Failure, match="offers yet another key"):
        stage.agent.trust("mari", key("oven"), Instant(NOW, 0.0), has_device=True)


def test_a_log_that_went_back_changes_nothing_and_ends_the_connection(stage: Stage) -> None:
    before = stage.device, stage.agent.membership.netmap
    said = stage.connects(hello(head=8), snapshot(COORDINATOR, revision=8))
    assert said == ["hang up: the log was rewound: it ends at revision 8, but 10 was seen"]
    assert (stage.device, stage.agent.membership.netmap) == before
    assert stage.hung_up is not None
    assert stage.happens(e.Closed(), e.Parted(stage.hung_up, 0.1)) == [
        "log the coordinator's log is another than was seen: nothing is applied",
        "note log.forked",
        "connect after 0.4 s",
    ]
    assert stage.agent.connection.forked is not None


def test_a_fork_that_goes_on_is_noted_once(stage: Stage) -> None:
    for noted in (True, False):
        stage.connects(hello(head=8))
        assert stage.hung_up is not None
        assert ("note log.forked" in stage.happens(e.Parted(stage.hung_up, 0.1))) is noted


def test_a_log_that_was_restored_is_said_and_followed(stage: Stage) -> None:
    said = stage.connects(hello(generation=2, head=6), snapshot(COORDINATOR, ME, revision=6), whole())
    assert said == [
        "log the log was restored",
        "note log.restored",
        *GREETED,
        "note peer.gone",
        "resolve",
        "read",
        "apply -mari",
        "show names",
        "write state 6",
        "report 6",
    ]


def test_who_is_shut_out_lets_go_of_all_and_promises_nothing_more(stage: Stage) -> None:
    assert stage.hears(Bye(reason="disabled")) == [
        "note peer.gone, peer.gone",
        "resolve",
        "read",
        "apply -mari",
        "show names",
        "hang up: the coordinator ended the stream: disabled",
        "write state 10",
    ]


# -- what goes wrong on this host -------------------------------------------------------------------------------------


def test_a_device_that_refuses_gets_no_receipt_and_all_of_it_is_looked_at_again(stage: Stage) -> None:
    stage.refuses = "no buffer space"
    assert stage.hears(delta(11, gone=[4])) == ["note peer.gone", "resolve", "apply -mari"]
    assert stage.agent.change.error == "no buffer space"
    refused = e.Parted(DeviceError("netlink", "no buffer space"), 60.0)
    assert stage.happens(e.Closed(), refused) == ["log device", "connect after 0.2 s"]
    stage.refuses = None
    said = stage.connects(hello(head=11, cursor_hash="h11"), whole())
    assert said == [*GREETED, "resolve", "read", "apply -mari", "show names", "write state 11", "report 11"]
    assert stage.agent.change.error is None


def test_a_receipt_waits_for_a_full_disk_and_the_device_does_not(stage: Stage) -> None:
    stage.disk_is_full = True
    said = stage.hears(delta(11, gone=[4]))
    assert said == ["note peer.gone", "resolve", "apply -mari", "show names", "write state 11"]
    assert stage.happens(e.Ticked()) == ["resolve", "read", "apply", "write state 11"]
    stage.disk_is_full = False
    assert stage.happens(e.Ticked())[-2:] == ["write state 11", "report 11"]
    assert "report 11" not in stage.happens(e.Ticked()), "once"


def test_what_happens_while_the_disk_is_slow_is_written_when_it_is_done(stage: Stage) -> None:
    now = Instant(NOW, 0.0)
    agent = stage.agent
    agent.handle(e.Told([delta(11, peers=[OVEN])]), now)
    agent.handle(e.PinsSaved(), now)
    (planned,) = agent.handle(e.Resolved(stage.server, {}, {}), now)
    assert isinstance(planned, c.Apply)
    stage.device = applied(stage.device, planned.changes)
    agent.handle(e.Applied(), now)
    assert [line(command) for command in agent.handle(e.NamesShown(), now)] == ["write state 11"]
    second = agent.membership.netmap
    said = stage.hears(delta(12, gone=[4]))
    assert said == ["note peer.gone", "resolve", "apply -mari", "show names"], "one thing at a time is done aside"
    assert stage.happens(e.Written(second, is_kept=True)) == ["write state 12", "report 12"]


def test_what_the_coordinator_signed_is_written_though_nothing_else_is_new(stage: Stage) -> None:
    stage.agent.membership.witnessed = Witnessed(key="another")
    assert stage.happens(e.Ticked())[-1] == "write checkpoints"
    assert "write checkpoints" not in stage.happens(e.Ticked()), "once"


def test_a_receipt_that_got_lost_is_sent_again_a_second_later(stage: Stage) -> None:
    stage.receipts_get_lost = 1
    assert stage.hears(delta(11, gone=[4]))[-2:] == ["report 11", "report 11 after 1.0 s"]


def test_what_somebody_else_did_to_the_device_is_put_right_and_said(stage: Stage) -> None:
    stage.device = replace(
        stage.device, listen_port=4242, peers={k: p for k, p in stage.device.peers.items() if k != key("mari")}
    )
    assert stage.happens(e.Ticked()) == [
        "resolve",
        "read",
        "log the device was changed by somebody else: put right",
        "note device.repaired",
        "give port 51820",
        "read",
        "apply +mari",
    ]
    assert stage.agent.change.repairs == 1


def test_an_interface_that_is_gone_is_made_anew_with_its_peers_where_they_were(stage: Stage) -> None:
    heard = replace(stage.device.peers[key("mari")], endpoint=Endpoint("198.51.100.4:4"), last_handshake=NOW)
    stage.device = replace(stage.device, peers=stage.device.peers | {key("mari"): heard})
    stage.happens(e.Ticked())
    stage.is_there, stage.device = False, replace(stage.device, peers={})
    assert stage.happens(e.Disturbed()) == [
        "put right",
        "log the interface was gone: it is made anew",
        "log the device was changed by somebody else: put right",
        "note device.repaired",
        "check names",
        "resolve",
        "read",
        "apply +coordinator at 192.0.2.1:51820 +mari at 198.51.100.4:4",
    ]


# -- the ground -------------------------------------------------------------------------------------------------------


def test_who_moved_asks_the_coordinator_and_greets_whom_it_spoke_with(stage: Stage) -> None:
    said = stage.happens(e.Moved("addresses changed"))
    assert said == ["log asking the coordinator whether it is there", "ask coordinator", "look around", "greet"]
    assert stage.happens(e.Answered(is_there=True)) == ["tell candidates"]


def test_who_moved_to_where_nobody_answers_connects_anew_at_once(stage: Stage) -> None:
    stage.happens(e.Moved("addresses changed"))
    assert stage.happens(e.Answered(is_there=False)) == [
        "connect after 0 s",
        "hang up: the coordinator does not answer any more",
    ]
    assert stage.hung_up is not None
    said = stage.happens(e.Parted(stage.hung_up, 60.0))
    assert said[:4] == [
        "log no connection to the coordinator: everything stays as it is",
        "note coordinator.lost",
        "connect after 0.2 s",
        "drop session",
    ]
    assert stage.agent.connection.state is State.AWAY


def test_connections_that_fail_are_tried_less_and_less_often_and_said_once(stage: Stage) -> None:
    said = [stage.happens(e.Parted(Lost("refused"), 0.1)) for _ in range(9)]
    assert said[0][:2] == ["log no connection to the coordinator: everything stays as it is", "note coordinator.lost"]
    assert [lines[-1] for lines in said] == [
        f"connect after {s} s" for s in (0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15.0, 15.0, 15.0)
    ]
    assert all(len(lines) == 1 for lines in said[1:])


def test_a_peer_that_is_told_of_its_twin_says_so_once_and_waits(stage: Stage) -> None:
    cursor = {"cursor_hash": "head"}
    said = stage.connects(hello(twins=["192.0.2.1:51820", "192.0.2.2:51820"], **cursor))
    there = "it is seen at 192.0.2.1:51820 and 192.0.2.2:51820 in turns"
    assert said[:2] == [f"log another machine has this peer's key: {there}", "note key.shared"]
    assert "note key.shared" not in stage.connects(hello(twins=["192.0.2.1:51820", "192.0.2.2:51820"], **cursor))
    assert stage.happens(e.Parted(Lost("replaced"), 60.0))[-1] == "connect after 120.0 s", "jitter halves it at most"
    stage.connects(hello(**cursor))
    assert stage.happens(e.Parted(Lost("replaced"), 60.0))[-1] == "connect after 0.2 s"


def test_a_meeting_is_a_matter_of_who_is_believed(stage: Stage) -> None:
    stage.hears(PresenceJson(peers=whole(4).peers, whole=False))
    meeting = Connect(peer=4, epoch=7, go_at=NOW + 0.1)
    assert "send probes" in stage.hears(meeting)
    assert "send probes" not in stage.hears(Connect(peer=9, epoch=7, go_at=NOW + 0.1))


def test_a_path_that_was_found_is_set_on_the_device_if_its_peer_is_still_one(stage: Stage) -> None:
    found = e.PathFound(4, key("mari"), Endpoint("203.0.113.4:4"))
    at = "~mari at 203.0.113.4:4"
    greeted = f"apply {at} {at} {at}"  # there is a session: her keepalive is switched off and on from there
    assert stage.happens(found) == ["read", greeted, "log a way was found"]
    stage.hears(delta(11, gone=[4]))
    assert stage.happens(found) == []


def there(number: int, *, online: bool) -> PresenceJson:
    told = PeerPresence(peer=number, endpoint="198.51.100.4:4", candidates=["198.51.100.4:4"], online=online)
    return PresenceJson(peers=[told], whole=False)


def test_the_entry_of_a_peer_that_comes_is_made_anew_as_it_was_sent_to_in_vain() -> None:
    stage = Stage()
    stage.connects(hello(), snapshot(COORDINATOR, ME, MARI), whole())
    stage.hears(there(4, online=False))
    stage.now += 1
    stage.happens(e.Ticked())
    stage.hears(there(4, online=True))
    stage.now += 1
    anew = "apply +mari at 198.51.100.4:4 -mari"
    assert anew in stage.happens(e.Ticked())
    assert anew not in stage.happens(e.Ticked())


def test_a_peer_that_answers_a_probe_is_greeted_at_once_though_it_was_sent_to_in_vain() -> None:
    stage = Stage()
    stage.connects(hello(), snapshot(COORDINATOR, ME, MARI), whole(4))
    stage.now += 1
    stage.happens(e.Ticked())
    found = e.PathFound(4, key("mari"), Endpoint("198.51.100.4:4"))
    assert "apply +mari at 198.51.100.4:4 -mari" in stage.happens(found)


# -- what it begins with ----------------------------------------------------------------------------------------------


def test_what_the_disk_remembers_is_on_the_device_before_anybody_is_heard() -> None:
    agent = agent_of(netmap(MARI), Pins({"10.42.128.2": key("mari")}))
    assert Stage(agent=agent).happens(e.Ticked()) == [
        "resolve",
        "read",
        "apply +coordinator at 192.0.2.1:51820 +mari",
        "show names",
    ], "and nothing is promised"


def test_an_answer_to_a_change_that_was_broken_off_is_not_taken(stage: Stage) -> None:
    stage.agent.handle(e.Told([delta(11, gone=[4])]), Instant(NOW, 0.0))
    stage.agent.handle(e.Failed(None), Instant(NOW, 0.0))
    assert stage.agent.handle(e.Applied(), Instant(NOW, 0.0)) == []
    assert stage.agent.membership.matched.revision == 10
