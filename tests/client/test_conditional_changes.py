"""A change is made to what was looked at, not to what it has become meanwhile; and made once, whatever gets lost."""

import asyncio
from pathlib import Path

import pytest

from innerd.domain import commands as c
from innerd.domain.values import COORDINATOR, Endpoint, Name, parse_address
from innerd.failure import Failure
from tests.client.commands import CHANGES as ANY
from tests.client.commands import WRITING
from tests.client.meddling import Way
from tests.world import World, key, populated

CHANGES = ANY | {  # of this world: kuro is invited here, and the addresses are others
    "add-cidr": ["--name", "birds", "--cidr", "127.42.5.0/24", "--parent", "kermpany"],
    "delete-peer": ["--name", "kuro", "--yes"],
    "reissue-invite": ["--name", "kuro", "--invite-expires", "1d"],
}


async def _world() -> World:
    w = await populated()
    await w.add_cidr("empty", "127.42.9.0/24")
    await w.invite("kuro", "cats")
    await w.join("lost", "cats")
    await w.do(c.AddPeer(name=Name("phone"), cidr=w.cidr_id("cats"), public_key=key("phone"), ip=None, is_plain=True))
    await w.do(c.DisablePeer(w.peer("lost").id))
    await w.associate("humans", "cats")
    await w.do(c.AllowRelay(COORDINATOR))
    return w


@pytest.fixture
def way() -> Way:
    return Way(asyncio.run(_world()))


def arguments(verb: str, folder: Path) -> list[str]:
    saved = ["--save-config", str(folder / "saved.toml")] if verb in WRITING else []
    return [verb, *CHANGES[verb], *saved]


def elsewhere(way: Way, number: int = 0):  # type: ignore[no-untyped-def]
    """Somebody changes what has nothing to do with it: tama's name."""

    async def deed() -> None:
        await way.world.do(c.RenamePeer(5, Name(f"tama-{number}")))

    return deed


@pytest.mark.parametrize("verb", CHANGES)
def test_every_change_says_on_which_revision_it_was_decided(way: Way, tmp_path: Path, verb: str) -> None:
    before = way.world.writer.network.revision
    way(*arguments(verb, tmp_path))
    assert [sent.if_match for sent in way.sent] == [f'"{before}"']
    assert way.world.writer.network.revision == before + 1


@pytest.mark.parametrize("verb", CHANGES)
def test_a_change_elsewhere_at_the_same_time_is_no_hindrance(way: Way, tmp_path: Path, verb: str) -> None:
    before = way.world.writer.network.revision
    way.deeds = [elsewhere(way, 1), elsewhere(way, 2)]
    way(*arguments(verb, tmp_path))
    others = 2 - len(way.deeds)
    assert others
    assert way.world.writer.network.revision == before + others + 1
    assert len({sent.key for sent in way.sent}) == len(way.sent), "each try is a request of its own"


def test_tries_are_made_on_the_newest_revision(way: Way, tmp_path: Path) -> None:
    before = way.world.writer.network.revision
    way.deeds = [elsewhere(way, 1), elsewhere(way, 2)]
    way(*arguments("disable-peer", tmp_path))
    assert [sent.if_match for sent in way.sent] == [f'"{before + n}"' for n in range(3)]
    assert way.world.peer("mari").is_disabled


def test_under_changes_without_end_a_verb_gives_up(way: Way, tmp_path: Path) -> None:
    way.deeds = [elsewhere(way, number) for number in range(50)]
    with pytest.raises(Failure) as failed:
        way(*arguments("disable-peer", tmp_path))
    assert (failed.value.status, failed.value.code) == (3, "revision_mismatch")
    assert 2 <= len(way.sent) <= 20
    assert not way.world.peer("mari").is_disabled


MEANWHILE: dict[str, tuple[str, c.Command]] = {
    "renamed": ("disable-peer", c.RenamePeer(3, Name("leo"))),
    "disabled already": ("disable-peer", c.DisablePeer(3)),
    "made an admin": ("disable-peer", c.GrantAdmin(3)),
    "with another endpoint": ("rename-peer", c.OverrideEndpoint(3, Endpoint("198.51.100.9:1"))),
    "retired": ("grant-admin", c.RemovePeer(3)),
    "a device without inn, renamed": ("export", c.RenamePeer(8, Name("tablet"))),
    "redeemed": ("delete-peer", c.Redeem(6, key("kuro"))),
    "reissued": ("reissue-invite", c.ReissueInvitation(6, key("kuro again"), None)),
    "its CIDR renamed": ("rename-peer", c.RenameCidr(3, Name("people"))),
    "a CIDR renamed": ("rename-cidr", c.RenameCidr(3, Name("folk"))),
    "an end renamed": ("add-association", c.RenameCidr(4, Name("kilns"))),
    "the CIDR it was to go into deleted": ("delete-cidr", c.DeleteCidr(6)),
    "the CIDR of the new peer renamed": ("add-peer", c.RenameCidr(3, Name("folk"))),
}


@pytest.mark.parametrize(("verb", "meanwhile"), MEANWHILE.values(), ids=MEANWHILE)
def test_a_change_of_the_very_thing_at_the_same_time_is_refused(way: Way, tmp_path: Path, verb, meanwhile) -> None:
    async def deed() -> None:
        await way.world.do(meanwhile)

    before = way.world.writer.network.revision
    way.deeds = [deed]
    with pytest.raises(Failure) as failed:
        way(*arguments(verb, tmp_path))
    assert (failed.value.status, failed.value.code) == (3, "revision_mismatch")
    assert way.world.writer.network.revision == before + 1, "only the other change happened"
    assert len(way.sent) == 1
    assert list(tmp_path.iterdir()) == [], "nor is there an invitation that nobody can use"


def test_a_carve_is_made_only_as_it_was_foreseen(way: Way) -> None:
    """Somebody joins in its range between the look and the deed."""

    async def deed() -> None:
        address = parse_address("127.42.128.77")
        wish = c.AddPeer(name=Name("nami"), cidr=3, ip=address, public_key=key("nami"), is_redeemed=True)
        await way.world.do(wish)

    way.deeds = [deed]
    with pytest.raises(Failure) as failed:
        way("add-cidr", "--name", "bakers", "--cidr", "127.42.128.64/26", "--parent", "humans")
    assert failed.value.code == "revision_mismatch"
    assert way.world.writer.network.cidr_named("bakers") is None


@pytest.mark.parametrize("lost", ["losses", "never"])
@pytest.mark.parametrize("verb", CHANGES)
def test_a_lost_request_or_answer_never_makes_a_second_change(way: Way, tmp_path: Path, verb: str, lost: str) -> None:
    before = way.world.writer.network.revision
    setattr(way, lost, 1)
    way(*arguments(verb, tmp_path))
    assert way.world.writer.network.revision == before + 1
    assert len({sent.key for sent in way.sent}) == 1


def test_a_lost_answer_and_a_change_elsewhere_make_no_second_peer(way: Way, tmp_path: Path) -> None:
    """The network has moved on when it is asked again: the first answer counts, not the condition."""

    async def nothing() -> None:
        """Before the first try."""

    way.deeds, way.losses = [nothing, elsewhere(way)], 1
    way(*arguments("add-peer", tmp_path))
    network = way.world.writer.network
    assert [peer.name for peer in network.peers.values() if peer.id > 8] == ["nami"]
    assert len(way.sent) == 2
    assert (tmp_path / "saved.toml").read_text()


def test_a_request_that_never_arrived_and_a_change_elsewhere_still_make_one_peer(way: Way, tmp_path: Path) -> None:
    way.deeds, way.never = [elsewhere(way)], 1
    way(*arguments("add-peer", tmp_path))
    network = way.world.writer.network
    assert [peer.name for peer in network.peers.values() if peer.id > 8] == ["nami"]


def test_a_dry_run_puts_no_condition(way: Way, tmp_path: Path) -> None:
    way(*arguments("disable-peer", tmp_path), "--dry-run")
    assert (way.sent, way.previews) == ([], [None])
    assert not way.world.peer("mari").is_disabled
