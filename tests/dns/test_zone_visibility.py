"""What an asker can't see does not exist for it: not by a record, a node above one, a count or a byte."""

import sys
from ipaddress import ip_network
from types import FrameType
from typing import Any

import dns.name
import dns.reversename
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inndns import message as m
from inndns.records import Host
from inndns.zone import Zone
from tests.dns.asking import (
    ADDRESS,
    VILLAGE,
    VILLAGE_HOSTS,
    VILLAGE_SEES,
    dig,
    host,
    packet,
    question_of,
    reply,
    zone_of,
)
from tests.dns.oracle import CLASSES, Village, examples, may_see, probes, villages


def without_question(zone: Zone, asker: Host, name: dns.name.Name, type_: str) -> bytes:
    """An answer with the bytes of the question cut out of it."""
    asked = packet(name.to_wire(), type_)
    answer = reply(asked, zone=zone, source=str(asker.address))
    assert answer is not None
    question = question_of(asked)
    assert answer[12:].startswith(question)
    return answer[:12] + answer[12 + len(question) :]


def above(address: object) -> list[dns.name.Name]:
    """A reverse name and all that stands above it, narrowest first."""
    whole = dns.reversename.from_address(str(address))
    return [dns.name.Name(whole.labels[drop:]) for drop in range(len(whole.labels) - 3)]


@examples(80)
@given(data=st.data(), village=villages())
def test_answers_are_byte_for_byte_those_of_a_network_without_the_invisible(
    data: st.DataObject, village: Village
) -> None:
    asker = data.draw(st.sampled_from(village.hosts))
    visible = [other for other in village.hosts if may_see(village.sees, asker, other)]
    whole, bare = (zone_of(hosts, village.block, village.sees) for hosts in (village.hosts, visible))
    for name, type_ in probes(village.hosts):
        asked = packet(name.to_wire(), type_)
        told, clean = (reply(asked, zone=zone, source=str(asker.address)) for zone in (whole, bare))
        assert told == clean, (name, type_)


@examples(80)
@given(village=villages(), type_=st.sampled_from(["A", "AAAA", "ANY", "TXT", "SOA"]))
def test_an_invisible_name_is_answered_as_an_absent_one_of_its_length(village: Village, type_: str) -> None:
    last = ip_network(village.block)[-1]
    others = [other for other in village.hosts if other.address < last - 1]
    guest, hermit = host("guest", str(last - 1), CLASSES[0]), host("hermit", str(last), 99)
    zone = zone_of([*others, guest, hermit], village.block, village.sees)
    for other in (hermit, *(other for other in others if not may_see(village.sees, guest, other))):
        name, absent = (dns.name.from_text(f"{label}.kermpany.wg") for label in (other.name, "z" * len(other.name)))
        assert without_question(zone, guest, name, type_) == without_question(zone, guest, absent, type_)


# Reverse names of the village that stand at, above or below a cat, and as long ones with nobody there.
HIDDEN_AND_ABSENT = [
    ("9.200.42.10.in-addr.arpa", "8.201.42.10.in-addr.arpa"),
    ("200.42.10.in-addr.arpa", "201.42.10.in-addr.arpa"),
    ("x.9.200.42.10.in-addr.arpa", "x.9.201.42.10.in-addr.arpa"),
]


@pytest.mark.parametrize(("hidden", "absent"), HIDDEN_AND_ABSENT)
@pytest.mark.parametrize("type_", ["PTR", "ANY", "A", "SOA", "TXT"])
def test_an_invisible_address_is_answered_as_an_absent_one(hidden: str, absent: str, type_: str) -> None:
    ryo = VILLAGE_HOSTS[1]
    one, other = (without_question(VILLAGE, ryo, dns.name.from_text(name), type_) for name in (hidden, absent))
    assert one == other
    assert dig(f"{hidden} {type_}").startswith("NXDOMAIN")


@examples(80)
@given(data=st.data(), village=villages())
def test_a_node_above_names_exists_exactly_for_those_who_see_one_of_them(data: st.DataObject, village: Village) -> None:
    asker, target = data.draw(st.sampled_from(village.hosts)), data.draw(st.sampled_from(village.hosts))
    visible = [other for other in village.hosts if may_see(village.sees, asker, other)]
    known = {name for other in visible for name in above(other.address)}
    zone = zone_of(village.hosts, village.block, village.sees)
    for name in above(target.address):
        said = dig(f"{name.to_text()} TXT", zone=zone, source=str(asker.address))
        if said != "REFUSED" and name.to_text() + " SOA" not in said:  # above our zones, or their tops
            assert said.startswith("NOERROR" if name in known else "NXDOMAIN"), name


@pytest.mark.parametrize("asker", sorted(ADDRESS))
def test_in_the_village_everybody_is_told_of_those_it_sees_and_of_nobody_else(asker: str) -> None:
    told = {
        other.name
        for other in VILLAGE_HOSTS
        if dig(f"{other.name}.kermpany.wg A", source=ADDRESS[asker]).startswith("NOERROR")
    }
    expected = {
        "innernet-server": {"innernet-server", "ryo", "mari", "oven", "tama"},
        "ryo": {"innernet-server", "ryo", "mari", "oven"},
        "mari": {"innernet-server", "ryo", "mari", "oven"},
        "oven": {"innernet-server", "ryo", "mari", "oven"},
        "tama": {"innernet-server", "tama"},
    }
    assert told == expected[asker]


@pytest.mark.parametrize("asker", sorted(ADDRESS))
def test_a_name_and_its_address_are_seen_by_the_same(asker: str) -> None:
    for other in VILLAGE_HOSTS:
        forward = dig(f"{other.name}.kermpany.wg A", source=ADDRESS[asker])
        back = dig(f"{dns.reversename.from_address(str(other.address))} PTR", source=ADDRESS[asker])
        assert forward.split()[0] == back.split()[0], other.name


def test_sight_is_asked_anew_by_the_zone_of_the_next_revision() -> None:
    friendly = VILLAGE.change(8, lambda class_: frozenset(VILLAGE_SEES), [], [])
    assert dig("tama.kermpany.wg A").startswith("NXDOMAIN")
    assert dig("tama.kermpany.wg A", zone=friendly).endswith("10.42.200.9")
    assert dig("9.200.42.10.in-addr.arpa PTR", zone=friendly).endswith("PTR tama.kermpany.wg.")
    assert dig("200.42.10.in-addr.arpa PTR", zone=friendly).startswith("NOERROR")


# -- and not by what is done to find it -------------------------------------------------------------------------------


def steps(asked: bytes, zone: Zone = VILLAGE, source: str = ADDRESS["ryo"]) -> list[tuple[str, int]]:
    """The lines that a zone runs through to answer."""
    question, asker = m.parse(asked), zone.asker(source)
    assert question is not None
    assert asker is not None
    zone.answer(question, asker)  # what is seen is worked out once
    taken: list[tuple[str, int]] = []

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        if not frame.f_globals["__name__"].startswith("inndns."):
            return None  # the garbage collector's callbacks come at any moment
        taken.append((frame.f_code.co_name, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        zone.answer(question, asker)
    finally:
        sys.settrace(before)
    return taken


SAME_WAY = [*HIDDEN_AND_ABSENT, ("tama.kermpany.wg", "yoko.kermpany.wg"), ("x.tama.kermpany.wg", "x.yoko.kermpany.wg")]


@pytest.mark.parametrize(("hidden", "absent"), SAME_WAY)
@pytest.mark.parametrize("type_", ["A", "AAAA", "PTR", "ANY", "TXT"])
def test_the_invisible_is_looked_for_by_the_same_steps_as_the_absent(hidden: str, absent: str, type_: str) -> None:
    assert steps(packet(hidden, type_)) == steps(packet(absent, type_)) != []
