"""The checklist of a small authoritative server, row by row: 38 rules of RFCs, and where each is tested.

Rows that another file tests are named with the tests that do; what no other file says is tested here, by tests named
after their row. Rows decided with "no" are tested as such.
"""

import ast
import asyncio
import shutil
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from struct import pack
from typing import NamedTuple

import dns.flags
import dns.message
import dns.rdatatype
import pytest

from inndns import server
from inndns.records import Host
from inndns.reverse import domains as reverse_domains
from inndns.server import DnsServer
from innerd.config import DnsSection
from tests.dns.asking import (
    ADDRESS,
    DO,
    HUMANS,
    VILLAGE,
    VILLAGE_HOSTS,
    dig,
    opt,
    packet,
    reply,
    summary,
    told,
    with_opt,
    zone_of,
)
from tests.dns.serving import RYO, Serving, serving

TESTS = Path(__file__).parents[1]


class Row(NamedTuple):
    rule: str
    tests: tuple[str, ...]  # file:part of a test's name, of tests/dns if no folder is named; "here": row_NN below


PACKETS = "test_message:test_each_packet_gets_the_answer_it_deserves"
TABLE = "test_zone:test_each_question_has_its_answer"

ROWS = {
    1: Row("an answer is dropped", ("test_message:no_question_gets_silence", "test_server:no_question_gets_silence")),
    2: Row("less than a header is dropped", ("test_message:no_question_gets_silence",)),
    3: Row("another opcode is NOTIMP, whatever its body", (PACKETS, "test_against_nsd:nsd_and_we_say_the_same")),
    4: Row("one question, or FORMERR", (PACKETS,)),
    5: Row("labels to 63, names to 255, no pointer", (PACKETS, "test_message_poison:refused_with_no_more_work")),
    6: Row("bytes behind the records are ignored", (PACKETS, "here")),
    7: Row("QR and AA set, id and RD copied, all else 0", (PACKETS, "test_message:sets_no_flag_of_its_own")),
    8: Row("the question comes back as it came", ("test_message:in_the_case_it_was_asked", "test_zone:case_changes")),
    9: Row(
        "no name: NXDOMAIN and the SOA with the shorter TTL", (TABLE, "test_zone:negative_answer_may_be_remembered")
    ),
    10: Row("no type: NOERROR and the SOA", (TABLE, PACKETS)),
    11: Row("a node above names is there", ("test_zone_reverse:node_above_one_name", "test_against_nsd:say_the_same")),
    12: Row("nothing is below a leaf", (TABLE,)),
    13: Row("SOA and NS at the top, and the target resolves", (TABLE, "test_zone:target_of_ns_and_soa_resolves")),
    14: Row("not ours: REFUSED without AA", (PACKETS, TABLE)),
    15: Row("not IN: REFUSED, and no version is told", (PACKETS, "here")),
    16: Row("ANY: one record set", (PACKETS, "test_zone_oracle:every_answer_is_what_a_search")),
    17: Row("no transfers", (PACKETS, "test_message:transfer_is_refused_on_tcp")),
    18: Row("EDNS: OPT for OPT, 1232, DO copied, options ignored", (PACKETS, "here")),
    19: Row("a later version of EDNS: BADVERS and nothing else", (PACKETS,)),
    20: Row("an OPT in the wrong place or too often: FORMERR", (PACKETS,)),
    21: Row("over UDP what the asker takes, to 1232; else TC", ("test_message_size:limit_goes_whole", "here")),
    22: Row("TCP: many questions, limits on all", ("test_server_tcp:test_", "test_server_tcp_abuse:test_")),
    23: Row("keep-alive: no; it is ignored over TCP too", (PACKETS, "here")),
    24: Row("cookies: no; they are ignored", (PACKETS, "here")),
    25: Row("a budget of answers for each asker, drops counted", ("here",)),
    26: Row(
        "who is no peer gets silence", ("test_server:unknown_source_gets_silence", "test_server_tcp:unknown_source")
    ),
    27: Row("a disabled peer gets silence for all names", ("test_names:test_a_disabled_peer", "here")),
    28: Row("the invisible is absent", ("test_zone_visibility:byte_for_byte", "test_timing:tell_hidden_from_absent")),
    29: Row(
        "reverse zones by octet and nibble, ours alone", ("test_zone_reverse:test_", "test_against_nsd:say_the_same")
    ),
    30: Row("an aligned range has one reverse zone", ("test_zone_reverse:reverse_domains_of_a_range", "here")),
    31: Row("wildcards: none but of records", (TABLE, "test_zone_records:gets_its_records", "here")),
    32: Row("SRV and TXT of records; nothing lists services", ("test_zone_records:gets_its_records", "here")),
    33: Row("names are legal labels at the door", ("domain/test_values_names:test_", "test_zone:every_legal_name")),
    34: Row("CNAME: none but of records, followed once", ("test_zone_records:gets_its_records", "here")),
    35: Row("short TTLs", ("test_zone:negative_answer_may_be_remembered", "here")),
    36: Row("the serial is the revision", ("test_zone:serial_wraps", "test_names:serial_is_the_revision")),
    37: Row("forwarding: no; REFUSED, so that a resolver goes on", (PACKETS, TABLE, "here")),
    38: Row("DNSSEC: no; DO brings no signature", ("test_zone:test_each_question", "here")),
}


@cache
def names_in(file: str) -> list[str]:
    """The names of the tests in a file."""
    folder, _, name = file.rpartition("/")
    tree = ast.parse((TESTS / (folder or "dns") / f"{name}.py").read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node.name for node in ast.walk(tree) if isinstance(node, kinds) and node.name.startswith("test_")]


def test_the_checklist_is_whole() -> None:
    assert list(ROWS) == list(range(1, 39))


@pytest.mark.parametrize("number", ROWS, ids=lambda number: f"row-{number:02}")
def test_each_row_has_its_tests(number: int) -> None:
    assert ROWS[number].tests
    for named in ROWS[number].tests:
        file, _, part = ("test_checklist", "", f"row_{number:02}_") if named == "here" else named.partition(":")
        assert any(part in name for name in names_in(file)), f"row {number}: no {named}"


def test_each_test_here_is_of_a_row_that_says_so() -> None:
    rows = {int(name[9:11]) for name in names_in("test_checklist") if name.startswith("test_row_")}
    assert rows == {number for number, row in ROWS.items() if "here" in row.tests}


# -- what no other file says ------------------------------------------------------------------------------------------

COOKIE, BAD_COOKIE = pack(">HH", 10, 8) + b"c" * 8, pack(">HH", 10, 3) + b"ccc"
NSID, KEEP_ALIVE = pack(">HH", 3, 0), pack(">HHH", 11, 2, 100)
PLAIN = with_opt(opt())


@pytest.mark.parametrize(
    "tail", [b"\0", b"\xff" * 500, packet()[12:], opt()], ids=["zero", "rubbish", "question", "opt"]
)
def test_row_06_bytes_behind_are_not_looked_at(tail: bytes) -> None:
    assert reply(packet(tail=tail)) == reply(packet())


@pytest.mark.parametrize("name", ["version.bind", "hostname.bind", "id.server", "version.server", "authors.bind"])
@pytest.mark.parametrize("type_", ["TXT", "ANY"])
def test_row_15_nothing_is_told_about_the_server(name: str, type_: str) -> None:
    assert summary(reply(packet(name, type_, 3))) == "REFUSED qr rd 1/0/0/0"
    assert summary(reply(packet(name, type_, 1))) == "REFUSED qr rd 1/0/0/0"


@pytest.mark.parametrize("options", [NSID, NSID + COOKIE, pack(">HH", 65_001, 0), pack(">HHHBB", 8, 4, 1, 0, 0)])
def test_row_18_no_option_changes_a_byte(options: bytes) -> None:
    assert reply(with_opt(opt(options=options))) == reply(PLAIN)


def test_row_21_an_asker_that_takes_more_gets_no_more_than_1232() -> None:
    texts = tuple(("@", "TXT", f"{number}" * 200) for number in range(8))
    ryo = Host("ryo", ip_address(ADDRESS["ryo"]), HUMANS, texts)
    zone = zone_of([VILLAGE_HOSTS[0], ryo])
    said = reply(with_opt(opt(65_535), type_="TXT"), zone=zone)
    assert summary(said) == "NOERROR qr aa tc rd 1/0/0/1 opt"
    assert summary(reply(packet(type_="TXT"), zone=zone, tcp=True)) == "NOERROR qr aa rd 1/8/0/0"


def test_row_23_keep_alive_is_not_answered_over_tcp_either() -> None:
    assert reply(with_opt(opt(options=KEEP_ALIVE)), tcp=True) == reply(PLAIN, tcp=True)


@pytest.mark.parametrize("cookie", [COOKIE, BAD_COOKIE, COOKIE + COOKIE], ids=["8-bytes", "3-bytes", "two"])
def test_row_24_a_cookie_is_ignored_whatever_its_length(cookie: bytes) -> None:
    for tcp in (False, True):
        assert reply(with_opt(opt(options=cookie)), tcp=tcp) == reply(PLAIN, tcp=tcp)


def test_row_25_who_asks_too_much_gets_silence_for_a_while_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(server, "perf_counter", lambda: now)
    served = DnsServer(lambda: VILLAGE, rate=100)

    def answered(source: str, most: int = 300) -> int:
        return sum(served.respond(packet(), ADDRESS[source], "udp") is not None for _ in range(most))

    assert answered("ryo") == 200, "a burst of two seconds"
    assert served.counters.dropped["rate_limited"] == 100
    assert answered("mari") == 200, "each has a budget of its own"
    now += 0.5
    assert answered("ryo", 99) == 50
    assert answered("ryo", 102) == 0, "past its patience"
    now += 2.9
    assert answered("ryo") == 0, "who goes on is not heard for three seconds"
    now += 0.2
    assert answered("ryo", 34) == 15, "and begins again with little"
    now += 3600
    assert answered("ryo") == 200, "what was not used does not pile up"
    assert served.respond(packet(), "10.42.9.9", "udp") is None
    assert served.counters.dropped["unknown_source"] == 1, "a stranger takes no budget"


def test_row_27_an_unknown_source_gets_the_same_silence_for_every_name() -> None:
    served = DnsServer(lambda: VILLAGE)
    for name in ("ryo.kermpany.wg", "nobody.kermpany.wg", "example.com", "5.3.42.10.in-addr.arpa"):
        for transport in ("udp", "tcp"):
            assert served.respond(packet(name), "10.42.3.99", transport) is None


@pytest.mark.parametrize("block", ["10.0.0.0/8", "10.42.0.0/16", "10.42.7.0/24", "fd00::/48", "fd00::/64", "fd00::/60"])
def test_row_30_an_aligned_range_has_one_reverse_zone(block: str) -> None:
    assert len(reverse_domains(ip_network(block))) == 1


def test_row_31_a_wildcard_is_below_its_peer_and_covers_no_neighbour() -> None:
    ryo = Host("ryo", ip_address(ADDRESS["ryo"]), HUMANS, (("*.app.@", "A", ADDRESS["ryo"]),))
    zone = zone_of([VILLAGE_HOSTS[0], ryo])
    assert dig("x.app.ryo.kermpany.wg A", zone=zone).endswith(f"x.app.ryo.kermpany.wg. 30 IN A {ryo.address}")
    for name in ("x.ryo.kermpany.wg", "x.kermpany.wg", "x.app.kermpany.wg", "*.kermpany.wg", "app.mari.kermpany.wg"):
        assert dig(f"{name} A", zone=zone) == "NXDOMAIN aa | kermpany.wg. SOA"


def test_row_32_the_target_of_a_service_is_not_compressed() -> None:
    ryo = Host("ryo", ip_address(ADDRESS["ryo"]), HUMANS, (("_http._tcp.@", "SRV", "0 5 8080 @"),))
    said = reply(packet("_http._tcp.ryo.kermpany.wg", "SRV"), zone=zone_of([VILLAGE_HOSTS[0], ryo])) or b""
    assert said.endswith(b"\0\0\0\x05\x1f\x90\x03ryo\x08kermpany\x02wg\0")


@pytest.mark.parametrize("name", ["_services._dns-sd._udp", "b._dns-sd._udp", "lb._dns-sd._udp", "_http._tcp"])
def test_row_32_nothing_lists_what_there_is(name: str) -> None:
    assert dig(f"{name}.kermpany.wg PTR") == "NXDOMAIN aa | kermpany.wg. SOA"


def test_row_34_an_alias_in_a_circle_is_followed_once() -> None:
    ryo = Host("ryo", ip_address(ADDRESS["ryo"]), HUMANS, (("a.@", "CNAME", "b.@"), ("b.@", "CNAME", "a.@")))
    for name in ("a", "b"):
        said = reply(packet(f"{name}.ryo.kermpany.wg"), zone=zone_of([VILLAGE_HOSTS[0], ryo]))
        assert summary(said) == "NOERROR qr aa rd 1/1/0/0"


def test_row_35_answers_are_remembered_for_five_seconds_unless_told_otherwise() -> None:
    assert DnsSection().ttl == 5


@pytest.mark.parametrize("flags", [0, 0x0100, 0x0130])
def test_row_37_recursion_is_not_offered_and_never_done(flags: int) -> None:
    for name in ("example.com", ".", "com", "wg", "kermpany.wg.example.com", "1.1.1.1.in-addr.arpa"):
        said = reply(packet(name, flags=flags)) or b""
        assert said[2:4] == bytes((0x80 | flags >> 8, 5)), "QR, RD as it came, REFUSED"
        assert said[6:] == b"\0" * 6 + packet(name)[12:]


@pytest.mark.parametrize("type_", ["RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "DS", "CDS", "CDNSKEY"])
@pytest.mark.parametrize("name", ["kermpany.wg", "ryo.kermpany.wg", "42.10.in-addr.arpa"])
def test_row_38_there_is_no_record_of_dnssec(name: str, type_: str) -> None:
    assert dig(f"{name} {type_}").startswith("NOERROR aa | ")
    assert dig(f"{name} {type_}").endswith(" SOA")


@pytest.mark.parametrize("name", ["ryo.kermpany.wg", "nobody.kermpany.wg", "kermpany.wg", "3.42.10.in-addr.arpa"])
@pytest.mark.parametrize("type_", ["A", "SOA", "ANY", "TXT"])
def test_row_38_who_wants_signatures_gets_the_answer_of_everybody(name: str, type_: str) -> None:
    plain, signed = (reply(with_opt(opt(ttl=ttl), name=name, type_=type_)) or b"" for ttl in (0, DO))
    assert told(signed) == told(plain)
    assert dns.message.from_wire(signed).flags & dns.flags.AD == 0


# -- and as people ask ------------------------------------------------------------------------------------------------


async def by_dig(served: Serving, *words: str) -> str:
    ran = await asyncio.create_subprocess_exec(
        *("dig", f"@{served.address}", "-b", RYO, "+tries=1", "+time=5", *words), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await ran.communicate()
    return said.decode()


@pytest.mark.skipif(shutil.which("dig") is None, reason="there is no dig here")
async def test_row_24_dig_with_all_it_can_ask_for_is_told_no_more() -> None:
    async with serving() as served:
        for port, over in ((served.udp, "+notcp"), (served.tcp, "+tcp")):
            asked = (
                "-p",
                str(port),
                over,
                "+cookie=0011223344556677",
                "+nsid",
                "+subnet=0.0.0.0/0",
                "+dnssec",
                "+keepalive",
            )
            said = await by_dig(served, *asked, "oven.kermpany.wg")
            assert "status: NOERROR" in said
            assert "flags: qr aa rd; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1" in said
            assert "EDNS: version: 0, flags: do; udp: 1232\n;; QUESTION" in said, "no option came back"
            assert "oven.kermpany.wg.\t30\tIN\tA\t127.42.64.2" in said.replace("\t\t", "\t")


@pytest.mark.skipif(shutil.which("dig") is None, reason="there is no dig here")
async def test_row_18_dig_finds_its_way_from_a_version_that_we_do_not_speak() -> None:
    async with serving() as served:
        asked = ("-p", str(served.udp), "+edns=1", "oven.kermpany.wg")
        assert "status: BADVERS" in await by_dig(served, *asked, "+noednsneg")
        assert "status: NOERROR" in await by_dig(served, *asked, "+ednsneg")
