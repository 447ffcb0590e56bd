"""The deciders for associations: unordered pairs of CIDRs, each once."""

import pytest

from innerd.domain import commands as c
from innerd.domain import events as e
from tests.domain.dialogue import Given, given
from tests.domain.lands import Land

HUMANS, OVENS = 3, 4
JOINED = e.AssociationAdded(id=1, cidr_id_1=HUMANS, cidr_id_2=OVENS)
PARTED = e.AssociationDeleted(id=1, cidr_id_1=HUMANS, cidr_id_2=OVENS)


@pytest.fixture
def two(land: Land) -> Given:
    return given(land.founding(), land.cidr(HUMANS, "humans", "128.0/17"), land.cidr(OVENS, "ovens", "64.0/24"))


def test_two_cidrs_are_associated(two: Given):
    after = two.when(c.AddAssociation(HUMANS, OVENS)).then(JOINED)
    assert list(after.network.associations) == [1]


@pytest.mark.parametrize("pair", [(HUMANS, OVENS), (OVENS, HUMANS)], ids=["same order", "other order"])
def test_a_pair_is_associated_once_in_whatever_order(two: Given, pair: tuple[int, int]):
    two.when(c.AddAssociation(HUMANS, OVENS)).then(JOINED).when(c.AddAssociation(*pair)).refused("association_exists")


def test_a_cidr_is_not_associated_with_itself(two: Given):
    two.when(c.AddAssociation(HUMANS, HUMANS)).refused("association_with_itself")


@pytest.mark.parametrize("pair", [(HUMANS, 99), (99, HUMANS), (99, 99)])
def test_both_ends_must_exist(two: Given, pair: tuple[int, int]):
    two.when(c.AddAssociation(*pair)).refused("cidr_not_found")


@pytest.mark.parametrize("pair", [(1, HUMANS), (2, HUMANS), (1, 2)], ids=["root", "infra", "root and infra"])
def test_root_and_infra_may_be_ends(two: Given, pair: tuple[int, int]):
    two.when(c.AddAssociation(*pair)).then(e.AssociationAdded(id=1, cidr_id_1=pair[0], cidr_id_2=pair[1]))


def test_an_association_is_deleted(two: Given):
    after = two.when(c.AddAssociation(HUMANS, OVENS)).then(JOINED).when(c.DeleteAssociation(1)).then(PARTED)
    assert not after.network.associations


def test_deleting_what_is_not_there_is_no_event(two: Given):
    two.when(c.DeleteAssociation(1)).then()


def test_the_id_of_a_deleted_association_is_not_given_again(two: Given):
    after = two.when(c.AddAssociation(HUMANS, OVENS)).then(JOINED).when(c.DeleteAssociation(1)).then(PARTED)
    again = e.AssociationAdded(id=2, cidr_id_1=OVENS, cidr_id_2=HUMANS)
    after.when(c.AddAssociation(OVENS, HUMANS)).then(again)
