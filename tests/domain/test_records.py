"""DNS records beside the names of peers: what may be added, on whom it hangs, and what becomes of it."""

from ipaddress import ip_address

import pytest

from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.decide import decide
from innerd.domain.errors import Refused
from innerd.domain.network import EMPTY, Network, fold
from innerd.domain.records import full
from innerd.domain.values import Name
from tests.domain.lands import Land


def kermpany() -> Network:
    """ryo and mari, in IPv4."""
    land = Land(ip_address("10.42.0.0"), "IPv4")
    peers = (land.peer(2, "ryo", "128.1"), land.peer(3, "mari", "128.2"))
    return fold(EMPTY, (*land.founding(), land.cidr(3, "humans", "128.0/17"), *peers))


def added(network: Network, name: str, rrtype: str, value: str) -> Network:
    return fold(network, decide(network, c.AddRecord(name=name, rrtype=rrtype, value=value), 0.0))


def records(network: Network, peer: str) -> list[tuple[str, str, str]]:
    found = network.peer_named(peer)
    assert found is not None
    return [(record.owner, record.rrtype, record.value) for record in found.records]


GOOD = {
    "below a peer": (("app.ryo", "CNAME", "ryo"), ("app.@", "CNAME", "@")),
    "deep below a peer": (("a.b.ryo", "TXT", "hello there"), ("a.b.@", "TXT", "hello there")),
    "a wildcard": (("*.app.ryo", "CNAME", "app.ryo"), ("*.app.@", "CNAME", "app.@")),
    "a wildcard right below": (("*.web.ryo", "A", "10.42.128.1"), ("*.web.@", "A", "10.42.128.1")),
    "at the peer itself": (("ryo", "TXT", "v=1"), ("@", "TXT", "v=1")),
    "a service": (("_http._tcp.ryo", "SRV", "0 5 8080 ryo"), ("_http._tcp.@", "SRV", "0 5 8080 @")),
    "an alias": (("git", "CNAME", "ryo"), ("git", "CNAME", "@")),
    "an alias of an address": (("git", "A", "10.42.128.1"), ("git", "A", "10.42.128.1")),
    "an address that nobody has": (("vip.ryo", "A", "10.42.200.1"), ("vip.@", "A", "10.42.200.1")),
    "a name outside": (("www.ryo", "CNAME", "www.example.com"), ("www.@", "CNAME", "www.example.com.")),
    "capitals and a dot at the end": (("APP.Ryo.", "cname", "RYO"), ("app.@", "CNAME", "@")),
}


@pytest.mark.parametrize(("asked", "kept"), GOOD.values(), ids=GOOD)
def test_a_record_hangs_on_the_peer_that_it_names(asked: tuple[str, str, str], kept: tuple[str, str, str]) -> None:
    assert records(added(kermpany(), *asked), "ryo") == [kept]


BAD = {
    "no such peer": (("app.nobody", "TXT", "x"), "invalid_record"),
    "an alias of nobody": (("git", "TXT", "x"), "invalid_record"),
    "a type that is not for adding": (("app.ryo", "MX", "10 ryo"), "invalid_record"),
    "an address outside the network": (("app.ryo", "A", "192.0.2.1"), "invalid_record"),
    "an address of another peer": (("app.ryo", "A", "10.42.128.2"), "invalid_record"),
    "an address of the other family": (("app.ryo", "AAAA", "10.42.128.1"), "invalid_record"),
    "a target of another peer": (("app.ryo", "CNAME", "mari"), "invalid_record"),
    "a target that is nothing": (("app.ryo", "CNAME", "nothing"), "invalid_record"),
    "a wildcard over the whole peer": (("*.ryo", "CNAME", "ryo"), "invalid_record"),
    "a wildcard in the middle": (("a.*.ryo", "TXT", "x"), "invalid_record"),
    "an empty label": (("a..ryo", "TXT", "x"), "invalid_record"),
    "a label too long": ((f"{'a' * 64}.ryo", "TXT", "x"), "invalid_record"),
    "an empty text": (("a.ryo", "TXT", ""), "invalid_record"),
    "a text with a newline": (("a.ryo", "TXT", "a\nb"), "invalid_record"),
    "a text too long": (("a.ryo", "TXT", "x" * 1001), "invalid_record"),
    "a service without a port": (("_x._tcp.ryo", "SRV", "0 0 ryo"), "invalid_record"),
    "a port too high": (("_x._tcp.ryo", "SRV", "0 0 65536 ryo"), "invalid_record"),
    "a second address of a peer": (("ryo", "A", "10.42.200.1"), "record_conflict"),
    "a CNAME of a peer's own name": (("ryo", "CNAME", "www.example.com"), "record_conflict"),
}


@pytest.mark.parametrize(("asked", "code"), BAD.values(), ids=BAD)
def test_what_can_not_be_is_refused(asked: tuple[str, str, str], code: str) -> None:
    with pytest.raises(Refused) as refused:
        added(kermpany(), *asked)
    assert refused.value.code == code


def test_a_cname_stands_alone() -> None:
    network = added(kermpany(), "app.ryo", "CNAME", "ryo")
    for other in (("app.ryo", "TXT", "x"), ("app.ryo", "CNAME", "www.example.com")):
        with pytest.raises(Refused, match="stands alone"):
            added(network, *other)
    with pytest.raises(Refused, match="stands alone"):
        added(added(kermpany(), "app.ryo", "TXT", "x"), "app.ryo", "CNAME", "ryo")


def test_the_same_record_again_changes_nothing() -> None:
    network = added(kermpany(), "app.ryo", "TXT", "x")
    assert decide(network, c.AddRecord(name="app.ryo", rrtype="TXT", value="x"), 0.0) == ()


def test_records_follow_their_peer_to_its_new_name_and_aliases_stay() -> None:
    network = added(added(kermpany(), "app.ryo", "CNAME", "ryo"), "git", "CNAME", "ryo")
    network = fold(network, decide(network, c.RenamePeer(network.names["ryo"], Name("kenta")), 0.0))
    assert [full(owner, "kenta") for owner, *_ in records(network, "kenta")] == ["app.kenta", "git"]


def test_an_alias_and_a_peer_can_not_have_one_name() -> None:
    network = added(kermpany(), "git", "CNAME", "ryo")
    with pytest.raises(Refused) as refused:
        decide(network, c.RenamePeer(network.names["mari"], Name("git")), 0.0)
    assert refused.value.code == "name_taken"
    gone = network.peers[network.names["ryo"]].records[0].id
    network = fold(network, decide(network, c.DeleteRecord(gone), 0.0))
    assert decide(network, c.RenamePeer(network.names["mari"], Name("git")), 0.0)


def test_records_go_with_their_peer_and_their_names_are_free() -> None:
    network = added(kermpany(), "git", "CNAME", "ryo")
    network = fold(network, decide(network, c.RemovePeer(network.names["ryo"]), 0.0))
    assert not network.aliases
    assert records(added(network, "git", "CNAME", "mari"), "mari") == [("git", "CNAME", "@")]


def test_numbers_of_records_are_never_given_twice() -> None:
    network = added(kermpany(), "a.ryo", "TXT", "x")
    network = fold(network, decide(network, c.DeleteRecord(1), 0.0))
    assert [
        event.id
        for event in decide(network, c.AddRecord(name="a.ryo", rrtype="TXT", value="x"), 0.0)
        if isinstance(event, e.RecordAdded)
    ] == [2]
    with pytest.raises(Refused) as refused:
        decide(network, c.DeleteRecord(1), 0.0)
    assert refused.value.code == "record_not_found"


def test_a_peer_has_no_more_than_sixty_four() -> None:
    network = kermpany()
    for number in range(64):
        network = added(network, f"n{number}.ryo", "TXT", "x")
    with pytest.raises(Refused) as refused:
        added(network, "one-more.ryo", "TXT", "x")
    assert refused.value.code == "too_many_records"
