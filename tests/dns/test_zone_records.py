"""Records beside the names of peers, as DNS answers them: aliases, wildcards, services, and who may see them."""

from ipaddress import ip_address, ip_network

import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from inndns import message as m
from inndns.records import Host
from inndns.zone import Zone, empty
from innerd.domain.maps import Map
from tests.dns.asking import packet
from tests.dns.test_zone_visibility import steps

RYO = Host(
    "ryo",
    ip_address("10.42.128.1"),
    1,
    (
        ("app.@", "CNAME", "@"),
        ("*.app.@", "CNAME", "app.@"),
        ("*.web.@", "A", "10.42.128.1"),
        ("api.web.@", "TXT", "none of the wildcard's"),
        ("@", "TXT", "v=1"),
        ("_http._tcp.@", "SRV", "0 5 8080 @"),
        ("git", "CNAME", "@"),
        ("away", "CNAME", "www.example.com."),
        ("long.@", "TXT", "x" * 300),
        ("empty.@", "TXT", ""),
        ("full.@", "TXT", "x" * 255),
        ("lost.@", "CNAME", "nothing.@"),
    ),
)
MARI = Host("mari", ip_address("10.42.64.1"), 2, (("secret", "CNAME", "@"), ("deep.down.@", "TXT", "x")))
SEES = {1: frozenset({1}), 2: frozenset({1, 2})}


def zone(*hosts: Host) -> Zone:
    blank = empty("kermpany", "wg", ip_network("10.42.0.0/16"), "innernet-server", 5, Map())
    return blank.change(1, SEES.__getitem__, [], hosts or (RYO, MARI))


def asked(name: str, kind: str, by: str = "10.42.128.1", served: Zone | None = None) -> dns.message.Message:
    """Asked as dnspython asks, and read as it reads."""
    served = served or zone()
    query = dns.message.make_query(f"{name}.kermpany.wg" if name else "kermpany.wg", kind)
    question, asker = m.parse(query.to_wire()), served.asker(by)
    assert question is not None
    assert asker is not None
    answer = dns.message.from_wire(m.write(question, served.answer(question, asker)))
    assert query.is_response(answer)
    return answer


def said(answer: dns.message.Message) -> list[str]:
    return [
        f"{rrset.name.relativize(ORIGIN)} {dns.rdatatype.to_text(rrset.rdtype)} {item.to_text(ORIGIN)}"
        for rrset in answer.answer
        for item in rrset
    ]


ORIGIN = dns.name.from_text("kermpany.wg")

ANSWERS = {
    "an alias leads on": (("git", "A"), ["git CNAME ryo", "ryo A 10.42.128.1"]),
    "the alias itself": (("git", "CNAME"), ["git CNAME ryo"]),
    "an alias of a type that is not there": (("git", "AAAA"), ["git CNAME ryo"]),
    "below a peer": (("app.ryo", "A"), ["app.ryo CNAME ryo", "ryo A 10.42.128.1"]),
    "a chain is followed by who asks": (("x.app.ryo", "A"), ["x.app.ryo CNAME app.ryo"]),
    "deep below a wildcard": (("a.b.web.ryo", "A"), ["a.b.web.ryo A 10.42.128.1"]),
    "a name that is there is none of the wildcard's": (("api.web.ryo", "A"), []),
    "nor is what lies below it": (("x.api.web.ryo", "A"), []),
    "a text at the peer itself": (("ryo", "TXT"), ['ryo TXT "v=1"']),
    "the peer's address stays": (("ryo", "A"), ["ryo A 10.42.128.1"]),
    "a service": (("_http._tcp.ryo", "SRV"), ["_http._tcp.ryo SRV 0 5 8080 ryo"]),
    "outside": (("away", "A"), ["away CNAME www.example.com."]),
    "a long text": (("long.ryo", "TXT"), [f'long.ryo TXT "{"x" * 255}" "{"x" * 45}"']),
    "a text of nothing is one empty string": (("empty.ryo", "TXT"), ['empty.ryo TXT ""']),
    "a text of one full string has no second": (("full.ryo", "TXT"), [f'full.ryo TXT "{"x" * 255}"']),
    "a target that is not there": (("lost.ryo", "A"), ["lost.ryo CNAME nothing.ryo"]),
    "the wildcard by its own name": (("*.web.ryo", "A"), ["*.web.ryo A 10.42.128.1"]),
}


@pytest.mark.parametrize(("question", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_a_question_gets_its_records(question: tuple[str, str], expected: list[str]) -> None:
    assert said(asked(*question)) == expected


CODES = {
    "a type that is not there": ("_http._tcp.ryo", "TXT", "NOERROR"),
    "a target that is not there": ("lost.ryo", "A", "NXDOMAIN"),
    "a name above others": ("_tcp.ryo", "A", "NOERROR"),
    "a name above a wildcard": ("web.ryo", "A", "NOERROR"),
    "below a leaf": ("x._http._tcp.ryo", "A", "NXDOMAIN"),
    "a name that is not there": ("other.ryo", "A", "NXDOMAIN"),
    "below the text of a name that is there": ("x.api.web.ryo", "A", "NXDOMAIN"),
    "beside the peers": ("nobody", "A", "NXDOMAIN"),
    "below nobody": ("x.nobody", "A", "NXDOMAIN"),
}


@pytest.mark.parametrize(("name", "kind", "code"), CODES.values(), ids=CODES)
def test_what_is_not_there_is_said_as_dns_does(name: str, kind: str, code: str) -> None:
    answer = asked(name, kind)
    assert dns.rcode.to_text(answer.rcode()) == code
    assert [rrset.rdtype for rrset in answer.authority] == [dns.rdatatype.SOA]


@pytest.mark.parametrize("name", ["secret", "deep.down.mari", "down.mari", "mari", "x.deep.down.mari"])
@pytest.mark.parametrize("kind", ["A", "TXT", "CNAME", "ANY"])
def test_who_does_not_see_a_peer_sees_none_of_its_records(name: str, kind: str) -> None:
    without = zone(RYO)
    seen, absent = asked(name, kind), asked(name, kind, served=without)
    assert seen.rcode() == dns.rcode.NXDOMAIN
    assert seen.to_wire()[2:] == absent.to_wire()[2:]
    assert asked("secret", "A", by="10.42.64.1").rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize("name", ["secret", "deep.down.{}", "down.{}", "{}", "x.deep.down.{}"])
@pytest.mark.parametrize("kind", ["A", "TXT", "CNAME", "ANY"])
def test_its_records_are_looked_for_by_the_same_steps_as_absent_ones(name: str, kind: str) -> None:
    served = zone()
    hidden, absent = name.format("mari"), name.format("yoko").replace("secret", "public")
    one, other = (packet(f"{each}.kermpany.wg", kind) for each in (hidden, absent))
    assert steps(one, served, "10.42.128.1") == steps(other, served, "10.42.128.1") != []


def test_records_come_and_go_with_their_host() -> None:
    served = zone()
    bare = Host("ryo", RYO.address, 1)
    after = served.change(2, SEES.__getitem__, [RYO], [bare])
    assert asked("git", "A", served=after).rcode() == dns.rcode.NXDOMAIN
    assert asked("_tcp.ryo", "A", served=after).rcode() == dns.rcode.NXDOMAIN
    assert len(after.nodes) == len(zone(MARI).nodes)
    assert (
        said(asked("git", "A", served=after.change(3, SEES.__getitem__, [bare], [RYO])))
        == ANSWERS["an alias leads on"][1]
    )


def test_an_answer_that_is_too_long_is_cut() -> None:
    many = Host("ryo", RYO.address, 1, tuple(("@", "TXT", f"{n}" * 200) for n in range(9)))
    answer = asked("ryo", "TXT", served=zone(many))
    assert answer.flags & dns.flags.TC
    assert not answer.answer
