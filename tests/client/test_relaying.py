"""Whom a peer that relays lets through: who sees whom, as it was told, of those whom it believes."""

import pytest
from msgspec.structs import replace

from innclient.agent.relaying import PeersSight
from innerd.domain.values import COORDINATOR as SERVER
from innerd.wire.stream import DeltaJson, Relays
from tests.client.play import Stage
from tests.client.told import COORDINATOR, MARI, ME, hello, peer_json, snapshot
from tests.world import key

OVEN = replace(peer_json(5, "oven", "10.42.64.1"), cidr_id=9)
TAMA = replace(peer_json(6, "tama", "10.42.3.1"), cidr_id=8)


@pytest.fixture
def stage() -> Stage:
    """Ryo's, who sees mari, the oven and tama, each in a CIDR of its own."""
    stage = Stage()
    stage.connects(hello(), snapshot(COORDINATOR, ME, MARI, OVEN, TAMA))
    return stage


@pytest.fixture
def sight(stage: Stage) -> PeersSight:
    return PeersSight(stage.agent.membership)


def told(stage: Stage, *pairs: tuple[int, int], unrelayed: tuple[int, ...] = ()) -> None:
    stage.hears(Relays(pairs=list(pairs), unrelayed=list(unrelayed)))


def test_before_it_was_told_nobody_sees_anybody(sight: PeersSight) -> None:
    assert not sight.sees(MARI.id, OVEN.id)
    assert sight.seen_by(MARI.id) == []


def test_it_is_what_was_told_last_both_ways(stage: Stage, sight: PeersSight) -> None:
    told(stage, (MARI.cidr_id, OVEN.cidr_id))
    assert sight.sees(MARI.id, OVEN.id)
    assert sight.sees(OVEN.id, MARI.id)
    assert not sight.sees(OVEN.id, TAMA.id)
    assert (OVEN.id, OVEN.public_key) in sight.seen_by(MARI.id)
    assert TAMA.id not in dict(sight.seen_by(MARI.id))
    told(stage, (OVEN.cidr_id, TAMA.cidr_id))
    assert not sight.sees(MARI.id, OVEN.id)
    assert sight.sees(OVEN.id, TAMA.id)


def test_who_is_gone_is_nobody(stage: Stage, sight: PeersSight) -> None:
    told(stage, (MARI.cidr_id, OVEN.cidr_id))
    assert sight.key_of(MARI.id) == MARI.public_key
    stage.hears(DeltaJson(revision=11, head_hash="h11", gone=[MARI.id]))
    assert sight.key_of(MARI.id) is None
    assert not sight.sees(MARI.id, OVEN.id)
    assert MARI.id not in dict(sight.seen_by(OVEN.id))


def test_whose_key_is_not_the_pinned_one_is_nobody(stage: Stage, sight: PeersSight) -> None:
    told(stage, (MARI.cidr_id, OVEN.cidr_id))
    changed = replace(MARI, public_key=key("eve"))
    stage.hears(DeltaJson(revision=11, head_hash="h11", peers=[changed]))
    assert sight.key_of(MARI.id) is None
    assert not sight.sees(MARI.id, OVEN.id)


def test_who_wants_nothing_relayed_is_let_alone(stage: Stage, sight: PeersSight) -> None:
    told(stage, (MARI.cidr_id, OVEN.cidr_id), unrelayed=(OVEN.id,))
    assert not sight.sees(MARI.id, OVEN.id)


@pytest.mark.parametrize("number", [SERVER, ME.id, 99])
def test_neither_the_coordinator_nor_itself_is_relayed_nor_is_who_is_not_known(
    stage: Stage, sight: PeersSight, number: int
) -> None:
    told(stage, (MARI.cidr_id, OVEN.cidr_id), (ME.cidr_id, MARI.cidr_id))
    assert sight.key_of(number) is None
    assert not sight.sees(number, MARI.id)


def test_more_pairs_than_any_coordinator_tells_are_none(
    stage: Stage, sight: PeersSight, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("innclient.core.membership._MOST_PAIRS", 1)
    told(stage, (MARI.cidr_id, OVEN.cidr_id), (OVEN.cidr_id, TAMA.cidr_id))
    assert not sight.sees(MARI.id, OVEN.id)
