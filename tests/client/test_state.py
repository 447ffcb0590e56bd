"""What a peer was told becomes a value; what a coordinator must not be able to tell never gets into it."""

import pytest
from msgspec.structs import replace

from innclient.core.netmap import (
    LogForked,
    Netmap,
    Whereabouts,
    emptied,
    greet,
    take_delta,
    take_presence,
    take_snapshot,
)
from innerd.domain.errors import Refused
from innerd.wire.innernet import CidrJson
from innerd.wire.stream import Cursor, DeltaJson, PeerPresence
from tests.client.told import COORDINATOR, HUMANS, ID, MARI, ME, ROOT, hello, netmap, peer_json, snapshot
from tests.world import key


def test_a_hello_says_who_and_where_we_are() -> None:
    greeted = greet(Netmap(), hello(generation=4, peer=9, suffix="home.arpa"))
    assert (greeted.network, greeted.network_id, greeted.me) == ("kermpany", ID, 9)
    assert (greeted.generation, greeted.suffix) == (4, "home.arpa")


def test_a_snapshot_is_all_that_is_known() -> None:
    before = netmap(MARI)
    after = take_snapshot(before, snapshot(COORDINATOR, ME, revision=12))
    assert set(after.peers) == {1, 3}
    assert after.revision == 12
    assert str(after.peers[3].ip) == "10.42.128.1"
    assert after.cidr_name(after.peers[3]) == "humans"


def test_a_delta_adds_changes_and_takes_away() -> None:
    renamed = peer_json(4, "mari-laptop", "10.42.128.2", public_key=key("mari"))
    oven = peer_json(5, "oven", "10.42.64.1", cidr_id=7)
    ovens = CidrJson(id=7, name="ovens", cidr="10.42.64.0/24", parent=1)
    delta = DeltaJson(revision=11, head_hash="h11", peers=[renamed, oven], cidrs=[ovens], cidrs_gone=[3])
    after = take_delta(netmap(MARI), delta)
    assert [after.peers[number].name for number in sorted(after.peers)] == ["coordinator", "ryo", "mari-laptop", "oven"]
    assert set(after.cidrs) == {1, 7}
    assert (after.revision, after.head_hash) == (11, "h11")
    assert set(take_delta(after, DeltaJson(revision=12, head_hash="h12", gone=[4])).peers) == {1, 3, 5}


def test_an_empty_delta_moves_the_cursor_alone() -> None:
    before = netmap(MARI)
    after = take_delta(before, DeltaJson(revision=15, head_hash="h15"))
    assert after == replace(before, revision=15, head_hash="h15")
    assert after.cursor == Cursor(1, 15)


def test_there_is_no_cursor_before_the_first_snapshot_nor_after_being_shut_out() -> None:
    assert Netmap().cursor is None
    assert emptied(netmap(MARI), "disabled").cursor is None


def test_a_peer_that_is_shut_out_keeps_the_coordinator_and_how_far_the_log_was_seen() -> None:
    left = emptied(netmap(MARI), "retired")
    assert set(left.peers) == {1}
    assert (left.generation, left.revision, left.head_hash) == (1, 10, "head")
    with pytest.raises(LogForked):
        greet(left, hello(head=9))
    assert not take_snapshot(left, snapshot(COORDINATOR, ME)).is_emptied
    assert (left.shut_out, greet(left, hello(head=10)).shut_out) == ("retired", None)


HOSTILE_PEERS = [
    pytest.param({"name": "mari\n10.0.0.1 bank.example"}, "invalid_name", id="a newline in a name"),
    pytest.param({"name": "\x1b]0;owned\x07"}, "invalid_name", id="an escape sequence in a name"),
    pytest.param({"name": "m\u202eiram"}, "invalid_name", id="text that runs backwards in a name"),
    pytest.param({"name": ""}, "invalid_name", id="an empty name"),
    pytest.param({"name": "../../etc/passwd"}, "invalid_name", id="a path as a name"),
    pytest.param({"public_key": "AAAA"}, "invalid_key", id="a short key"),
    pytest.param({"public_key": "A" * 43 + "="}, "invalid_key", id="the zero key"),
    pytest.param({"public_key": "x\ny" * 14}, "invalid_key", id="newlines in a key"),
    pytest.param({"ip": "10.42.128.2/0"}, "invalid_address", id="a range as an address"),
    pytest.param({"ip": "::ffff:10.42.128.2"}, "invalid_address", id="a mapped address"),
    pytest.param({"endpoint": "192.0.2.1"}, "invalid_endpoint", id="an endpoint without a port"),
    pytest.param({"endpoint": "a b:1"}, "invalid_endpoint", id="an endpoint with a blank"),
]


@pytest.mark.parametrize(("bad", "code"), HOSTILE_PEERS)
def test_a_peer_that_cannot_be_read_is_left_out_and_the_others_stay(bad: dict[str, str], code: str) -> None:
    hostile = peer_json(4, "mari", "10.42.128.2")
    for field, value in bad.items():
        setattr(hostile, field, value)
    after = take_snapshot(Netmap(me=3), snapshot(COORDINATOR, hostile, ME))
    assert set(after.peers) == {1, 3}
    assert after.refused == {4: code}


def test_a_known_peer_that_becomes_unreadable_is_dropped_and_comes_back_when_it_can_be_read() -> None:
    bad = peer_json(4, "no name", "10.42.128.2")
    dropped = take_delta(netmap(MARI), DeltaJson(revision=11, head_hash="", peers=[bad]))
    assert 4 not in dropped.peers
    assert dropped.refused == {4: "invalid_name"}
    back = take_delta(dropped, DeltaJson(revision=12, head_hash="", peers=[MARI]))
    assert back.peers[4].name == "mari"
    assert back.refused == {}
    assert take_delta(dropped, DeltaJson(revision=12, head_hash="", gone=[4])).refused == {}


def test_a_cidr_with_a_name_for_no_terminal_is_shown_by_its_number() -> None:
    bad = CidrJson(id=8, name="\x1b[2Jhumans", cidr="10.42.1.0/24", parent=1)
    after = take_snapshot(Netmap(), snapshot(ME, cidrs=[ROOT, HUMANS, bad]))
    assert after.cidrs[8].name == "cidr-8"


def test_a_cidr_whose_range_cannot_be_read_does_not_lose_the_network() -> None:
    bad = CidrJson(id=8, name="cats", cidr="everything", parent=1)
    after = take_snapshot(Netmap(), snapshot(ME, MARI, cidrs=[ROOT, HUMANS, bad]))
    assert set(after.peers) == {3, 4}
    assert set(after.cidrs) >= {1, 3}


BROKEN_LOGS = [
    pytest.param({"head": 9}, "rewound", id="the log ends before what was seen"),
    pytest.param({"cursor_hash": "another"}, "forked", id="another hash at our revision"),
    pytest.param({"generation": 0}, "went back", id="an older generation"),
    pytest.param({"network_id": "b" * 32}, "another network", id="another network"),
    pytest.param({"network_id": "b" * 32, "generation": 9}, "another network", id="another network, newer generation"),
]


@pytest.mark.parametrize(("changes", "word"), BROKEN_LOGS)
def test_a_log_that_does_not_continue_what_was_seen_is_not_believed(changes: dict[str, object], word: str) -> None:
    with pytest.raises(LogForked, match=word):
        greet(netmap(MARI), hello(**changes))


CONTINUED = [
    pytest.param({"cursor_hash": "head"}, id="the same hash at our revision"),
    pytest.param({"head": 99, "cursor_hash": "head"}, id="a longer log"),
]


@pytest.mark.parametrize("changes", CONTINUED)
def test_a_log_that_continues_is_followed(changes: dict[str, object]) -> None:
    before = netmap(MARI)
    after = greet(before, hello(**changes))
    assert after.generation == changes.get("generation", 1)
    assert (after.peers, after.revision) == (before.peers, before.revision)


def test_a_restore_raises_the_generation_and_begins_anew() -> None:
    before = netmap(MARI)
    after = greet(before, hello(generation=2, head=5))
    assert (after.generation, after.peers, after.revision, after.head_hash) == (2, before.peers, 0, "")
    assert after.cursor is None


def test_a_coordinator_that_says_no_hash_though_a_cursor_was_sent_has_forked() -> None:
    with pytest.raises(LogForked):
        greet(netmap(MARI), hello(cursor_hash=None))


def test_a_fresh_peer_believes_any_log() -> None:
    assert greet(Netmap(), hello(generation=7, head=1, network_id="c" * 32)).network_id == "c" * 32


def told(peer: int, endpoint: str | None, *candidates: str, online: bool = True) -> PeerPresence:
    return PeerPresence(peer=peer, endpoint=endpoint, candidates=list(candidates), online=online)


def test_presence_puts_the_endpoint_first_and_the_last_candidate_next() -> None:
    after = take_presence({}, [told(4, "192.0.2.4:1", "10.0.0.4:1", "192.0.2.5:1", "192.0.2.4:1")], whole=True)
    own = ("192.0.2.4:1", "192.0.2.5:1", "10.0.0.4:1")
    assert after == {4: Whereabouts(own, online=True, seen="192.0.2.4:1", own=own)}


def test_whole_presence_forgets_who_is_not_in_it_and_changes_do_not() -> None:
    before = take_presence({}, [told(4, "192.0.2.4:1"), told(5, "192.0.2.5:1")], whole=True)
    assert set(take_presence(before, [told(5, None)], whole=True)) == {5}
    changed = take_presence(before, [told(5, None, online=False)], whole=False)
    assert changed[4] == before[4]
    assert changed[5] == Whereabouts((), online=False)
    assert set(before) == {4, 5}


def test_endpoints_that_cannot_be_read_are_left_out_of_presence() -> None:
    after = take_presence({}, [told(4, "nonsense", "192.0.2.4:1", "\x1b[0m:1", "192.0.2.5:99999")], whole=True)
    assert after[4].endpoints == ("192.0.2.4:1",)


@pytest.mark.parametrize("protocol", [0, 2])
def test_a_stream_of_another_protocol_is_refused_before_anything_is_believed(protocol: int) -> None:
    with pytest.raises(Refused, match=f"protocol {protocol}, this release knows 1") as refused:
        greet(Netmap(), hello(protocol=protocol, network_id="b" * 32))
    assert refused.value.code == "protocol_unknown"
