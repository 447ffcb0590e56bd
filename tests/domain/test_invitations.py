"""The deciders for invitations: redeeming once and again, expiring at once and a day later, reissuing."""

import pytest
from msgspec.structs import replace

from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.invitations import is_open
from tests.domain.dialogue import Given, given
from tests.domain.lands import COORDINATOR, DAY, NOW, Land, key

RYO, MARI = 2, 3
PINNED = e.KeyPinned(peer=MARI, name="mari", public_key=key("mari"), redeemed_at=NOW)
REDEEM = c.Redeem(MARI, key("mari"))
HOUR = 3600


@pytest.fixture
def town(land: Land) -> Given:
    """ryo, who has redeemed; mari, invited for an hour."""
    return given(
        land.founding(), land.peer(RYO, "ryo", "128.1"), land.invited(MARI, "mari", "128.2", expires=NOW + HOUR)
    )


# -- redeeming --------------------------------------------------------------------------------------------------------


def test_redeeming_swaps_the_temporary_key_for_the_peers_own(town: Given):
    mari = town.when(REDEEM).then(PINNED).network.peers[MARI]
    assert (mari.public_key, mari.invitation_key) == (key("mari"), key("mari invitation"))
    assert (mari.is_redeemed, mari.invite_expires, mari.redeemed_at) == (True, None, NOW)


def test_the_moment_of_redemption_is_told_in_whole_seconds(town: Given):
    town.when(REDEEM, now=NOW + 0.9).then(PINNED)


@pytest.mark.parametrize("later", [0, HOUR, 30 * DAY])
def test_redeeming_again_with_the_same_key_is_already_so(town: Given, later: int):
    """The answer may have been lost; the key pair must not be."""
    town.when(REDEEM).then(PINNED).when(REDEEM, now=NOW + later).then()


@pytest.mark.parametrize("used", ["another", "mari invitation", "ryo", "coordinator"])
def test_redeeming_again_with_another_key_is_refused(town: Given, used: str):
    town.when(REDEEM).then(PINNED).when(c.Redeem(MARI, key(used))).refused("invitation_used")


@pytest.mark.parametrize("number", [RYO, COORDINATOR])
def test_a_peer_that_came_redeemed_has_no_invitation(town: Given, number: int):
    town.when(c.Redeem(number, key("another"))).refused("invitation_used")


@pytest.mark.parametrize("used", ["coordinator", "ryo", "mari invitation"])
def test_the_peers_own_key_must_be_new(town: Given, used: str):
    town.when(c.Redeem(MARI, key(used))).refused("key_taken")


def test_a_disabled_peer_does_not_redeem(town: Given):
    disabled = town.when(c.DisablePeer(MARI)).then(e.PeerDisabled(id=MARI, name="mari"))
    disabled.when(REDEEM).refused("peer_disabled")
    disabled.when(c.EnablePeer(MARI)).then(e.PeerEnabled(id=MARI, name="mari")).when(REDEEM).then(PINNED)


def test_a_disabled_peer_that_redeemed_may_ask_again_with_its_key(town: Given):
    disabled = town.when(REDEEM).then(PINNED).when(c.DisablePeer(MARI)).then(e.PeerDisabled(id=MARI, name="mari"))
    disabled.when(REDEEM).then()


# -- expiring ---------------------------------------------------------------------------------------------------------

LAST_MOMENT = NOW + HOUR - 0.001


def test_an_invitation_is_good_until_its_time_and_not_at_it(town: Given):
    town.when(REDEEM, now=LAST_MOMENT).then(
        e.KeyPinned(peer=MARI, name="mari", public_key=key("mari"), redeemed_at=NOW + HOUR - 1)
    )
    town.when(REDEEM, now=NOW + HOUR).refused("invitation_expired")


def test_expiry_is_a_comparison_so_a_clock_set_back_gives_the_invitation_back(town: Given):
    town.when(REDEEM, now=NOW + 2 * HOUR).refused("invitation_expired")
    town.when(REDEEM).then(PINNED)


def test_an_invitation_without_an_end_never_expires(land: Land):
    past = given(land.founding(), land.invited(MARI, "mari", "128.2"))
    past.when(c.ExpireInvitations(), now=NOW + 99_999 * DAY).then()
    past.when(REDEEM).then(PINNED)


def test_open_means_redeemable_at_this_moment(town: Given):
    mari = town.network.peers[MARI]
    assert is_open(mari, LAST_MOMENT)
    assert not is_open(mari, NOW + HOUR)
    assert not is_open(town.network.peers[RYO], NOW)
    disabled = town.when(c.DisablePeer(MARI)).then(e.PeerDisabled(id=MARI, name="mari"))
    assert not is_open(disabled.network.peers[MARI], NOW)


GRACE = {
    "not yet over": (NOW, False),
    "just over": (NOW + HOUR, False),
    "almost a day over": (NOW + HOUR + DAY - 0.001, False),
    "a day over": (NOW + HOUR + DAY, True),
    "long over": (NOW + 900 * DAY, True),
}


@pytest.mark.parametrize(("now", "gone"), GRACE.values(), ids=GRACE)
def test_the_peer_goes_only_a_day_after_its_invitation(town: Given, land: Land, now: float, gone: bool):
    expired = e.InvitationExpired(peer=MARI, name="mari", ip=str(land.at("128.2")))
    after = town.when(c.ExpireInvitations(), now=now).then(*([expired] if gone else []))
    assert (MARI in after.network.peers) is not gone
    assert (after.network.peer_at(land.at("128.2")) is None) is gone


def test_a_redeemed_peer_does_not_expire(town: Given):
    town.when(REDEEM).then(PINNED).when(c.ExpireInvitations(), now=NOW + 900 * DAY).then()


def test_a_redeemed_peer_does_not_expire_whatever_its_invitation_said(land: Land):
    """As it may come out of an imported log."""
    ryo = replace(land.peer(RYO, "ryo", "128.1"), invite_expires=NOW)
    given(land.founding(), ryo).when(c.ExpireInvitations(), now=NOW + 900 * DAY).then()


def test_a_disabled_invitation_expires_too(town: Given, land: Land):
    disabled = town.when(c.DisablePeer(MARI)).then(e.PeerDisabled(id=MARI, name="mari"))
    expired = e.InvitationExpired(peer=MARI, name="mari", ip=str(land.at("128.2")))
    disabled.when(c.ExpireInvitations(), now=NOW + 2 * DAY).then(expired)


def test_all_that_is_over_goes_at_once_and_only_that(town: Given, land: Land):
    names = {4: ("tama", "128.4", NOW - 2 * DAY), 5: ("momo", "128.5", NOW - DAY), 6: ("kuro", "128.6", NOW)}
    more = [land.invited(number, name, place, expires=end) for number, (name, place, end) in names.items()]
    past = given(land.founding(), *more)
    outcome = past.when(c.ExpireInvitations())
    assert {event.peer for event in outcome.events} == {4, 5}


# -- reissuing --------------------------------------------------------------------------------------------------------

AGAIN = c.ReissueInvitation(MARI, key("mari again"), NOW + 9 * DAY)
REISSUED = e.InvitationReissued(peer=MARI, name="mari", public_key=key("mari again"), invite_expires=NOW + 9 * DAY)


@pytest.mark.parametrize("now", [NOW, NOW + HOUR, NOW + 2 * DAY], ids=["open", "expired", "past the grace"])
def test_an_invitation_is_reissued_with_a_new_key_and_time(town: Given, now: float):
    after = town.when(AGAIN, now=now).then(REISSUED)
    mari = after.network.peers[MARI]
    assert (mari.public_key, mari.invite_expires, mari.is_redeemed) == (key("mari again"), NOW + 9 * DAY, False)
    after.when(c.ExpireInvitations(), now=NOW + 9 * DAY).then()


def test_a_reissued_invitation_can_be_redeemed(town: Given):
    mari = town.when(AGAIN).then(REISSUED).when(REDEEM).then(PINNED).network.peers[MARI]
    assert mari.invitation_key == key("mari again")


def test_an_invitation_may_be_reissued_for_ever(town: Given):
    wish = c.ReissueInvitation(MARI, key("mari again"), None)
    for_ever = e.InvitationReissued(peer=MARI, name="mari", public_key=key("mari again"), invite_expires=None)
    town.when(wish).then(for_ever).when(REDEEM, now=NOW + 999 * DAY).then(
        e.KeyPinned(peer=MARI, name="mari", public_key=key("mari"), redeemed_at=NOW + 999 * DAY)
    )


@pytest.mark.parametrize("number", [RYO, COORDINATOR])
def test_a_redeemed_peer_gets_no_second_invitation(town: Given, number: int):
    town.when(c.ReissueInvitation(number, key("again"), None)).refused("peer_redeemed")


@pytest.mark.parametrize("used", ["mari invitation", "ryo", "coordinator"])
def test_a_reissued_invitation_needs_a_new_key(town: Given, used: str):
    town.when(c.ReissueInvitation(MARI, key(used), None)).refused("key_taken")
