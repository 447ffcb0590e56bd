"""Reverse zones: one for each octet (IPv4) or nibble (IPv6) boundary, and only for what is ours."""

import dns.message
import pytest

from inndns.reverse import domains as reverse_domains
from inndns.zone import Zone
from tests.dns.asking import dig, host, packet, reply, zone_of


def tens(first: int, last: int, rest: str) -> list[str]:
    return [f"{number}.{rest}" for number in range(first, last + 1)]


DOMAINS = {
    "10.0.0.0/8": ["10.in-addr.arpa"],
    "172.16.0.0/12": tens(16, 31, "172.in-addr.arpa"),
    "10.42.0.0/16": ["42.10.in-addr.arpa"],
    "10.42.128.0/17": tens(128, 255, "42.10.in-addr.arpa"),
    "10.42.4.0/22": tens(4, 7, "42.10.in-addr.arpa"),
    "192.168.7.0/24": ["7.168.192.in-addr.arpa"],
    "192.168.7.128/25": ["7.168.192.in-addr.arpa"],
    "192.168.7.4/30": ["7.168.192.in-addr.arpa"],
    "fd00:1:2:3::/64": ["3.0.0.0.2.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa"],
    "fd00:1:2:8::/61": tens(8, 9, "0.0.0.2.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa")
    + [f"{digit}.0.0.0.2.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa" for digit in "abcdef"],
    "fd00:1:2::/48": ["2.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa"],
    "fd00:1:2:3::/126": ["0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa"],
}


@pytest.mark.parametrize("block", DOMAINS)
def test_the_reverse_domains_of_a_range(block: str) -> None:
    assert reverse_domains(zone_of([], block).block) == DOMAINS[block]


def manned(block: str) -> Zone:
    """A network whose coordinator has the range's second address."""
    first = zone_of([], block).block.network_address
    return zone_of([host("innernet-server", str(first + 1), None)], block)


@pytest.mark.parametrize("block", DOMAINS)
def test_each_reverse_domain_is_a_zone_and_what_is_above_is_not(block: str) -> None:
    zone = manned(block)
    source = str(zone.block.network_address + 1)
    for domain in DOMAINS[block]:
        above = domain.partition(".")[2]
        assert dig(f"{domain} SOA", zone=zone, source=source).startswith(f"NOERROR aa | {domain}. 30 IN SOA")
        ns = "innernet-server.kermpany.wg."
        assert dig(f"{domain} NS", zone=zone, source=source) == f"NOERROR aa | {domain}. 30 IN NS {ns}"
        assert dig(f"{domain} PTR", zone=zone, source=source) == f"NOERROR aa | {domain}. SOA"
        assert dig(f"x.{domain} PTR", zone=zone, source=source) == f"NXDOMAIN aa | {domain}. SOA"
        assert dig(f"{above} SOA", zone=zone, source=source) == "REFUSED"


WIDE = zone_of([host("innernet-server", "172.16.0.1", None), host("ryo", "172.20.3.5", 3)], "172.16.0.0/12")
TIGHT = zone_of([host("innernet-server", "192.168.7.129", None), host("ryo", "192.168.7.200", 3)], "192.168.7.128/25")
SIX = zone_of([host("innernet-server", "fd00:1:2:8::1", None), host("ryo", "fd00:1:2:a::5", 3)], "fd00:1:2:8::/61")
A6 = "a.0.0.0.2.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa"

WIDE_ANSWERS = {
    "5.3.20.172.in-addr.arpa PTR": "NOERROR aa | 5.3.20.172.in-addr.arpa. 30 IN PTR ryo.kermpany.wg.",
    "5.3.20.172.in-addr.arpa ANY": "NOERROR aa | 5.3.20.172.in-addr.arpa. 30 IN PTR ryo.kermpany.wg.",
    "5.3.20.172.in-addr.arpa A": "NOERROR aa | 20.172.in-addr.arpa. SOA",
    "6.3.20.172.in-addr.arpa PTR": "NXDOMAIN aa | 20.172.in-addr.arpa. SOA",
    "3.20.172.in-addr.arpa PTR": "NOERROR aa | 20.172.in-addr.arpa. SOA",
    "4.20.172.in-addr.arpa PTR": "NXDOMAIN aa | 20.172.in-addr.arpa. SOA",
    "20.172.in-addr.arpa PTR": "NOERROR aa | 20.172.in-addr.arpa. SOA",
    "31.172.in-addr.arpa PTR": "NOERROR aa | 31.172.in-addr.arpa. SOA",
    "32.172.in-addr.arpa PTR": "REFUSED",
    "1.0.15.172.in-addr.arpa PTR": "REFUSED",
    "x.5.3.20.172.in-addr.arpa PTR": "NXDOMAIN aa | 20.172.in-addr.arpa. SOA",
    "7.5.3.20.172.in-addr.arpa PTR": "NXDOMAIN aa | 20.172.in-addr.arpa. SOA",
    "05.3.20.172.in-addr.arpa PTR": "NXDOMAIN aa | 20.172.in-addr.arpa. SOA",
    "256.3.20.172.in-addr.arpa PTR": "NXDOMAIN aa | 20.172.in-addr.arpa. SOA",
    "5.3.020.172.in-addr.arpa PTR": "REFUSED",
    "in-addr.arpa NS": "REFUSED",
    "arpa NS": "REFUSED",
    "5.3.20.172.ip6.arpa PTR": "REFUSED",
}
TIGHT_ANSWERS = {
    "200.7.168.192.in-addr.arpa PTR": "NOERROR aa | 200.7.168.192.in-addr.arpa. 30 IN PTR ryo.kermpany.wg.",
    "201.7.168.192.in-addr.arpa PTR": "NXDOMAIN aa | 7.168.192.in-addr.arpa. SOA",
    "128.7.168.192.in-addr.arpa PTR": "NXDOMAIN aa | 7.168.192.in-addr.arpa. SOA",
    "255.7.168.192.in-addr.arpa PTR": "NXDOMAIN aa | 7.168.192.in-addr.arpa. SOA",
    "127.7.168.192.in-addr.arpa PTR": "REFUSED",
    "1.7.168.192.in-addr.arpa PTR": "REFUSED",
    "x.1.7.168.192.in-addr.arpa PTR": "REFUSED",
    "x.200.7.168.192.in-addr.arpa PTR": "NXDOMAIN aa | 7.168.192.in-addr.arpa. SOA",
    "200.8.168.192.in-addr.arpa PTR": "REFUSED",
}
SIX_ANSWERS = {
    f"5.{'0.' * 15}{A6} PTR": f"NOERROR aa | 5.{'0.' * 15}{A6}. 30 IN PTR ryo.kermpany.wg.",
    f"5.{'0.' * 15}{A6.upper()} PTR": f"NOERROR aa | 5.{'0.' * 15}{A6.upper()}. 30 IN PTR ryo.kermpany.wg.",
    f"6.{'0.' * 15}{A6} PTR": f"NXDOMAIN aa | {A6}. SOA",
    f"{'0.' * 15}{A6} PTR": f"NOERROR aa | {A6}. SOA",
    f"0.{A6} PTR": f"NOERROR aa | {A6}. SOA",
    f"1.{A6} PTR": f"NXDOMAIN aa | {A6}. SOA",
    f"00.{A6} PTR": f"NXDOMAIN aa | {A6}. SOA",
    f"g.{A6} PTR": f"NXDOMAIN aa | {A6}. SOA",
    f"1.5.{'0.' * 15}{A6} PTR": f"NXDOMAIN aa | {A6}. SOA",
    f"7{A6[1:]} SOA": "REFUSED",
    f"{A6[2:]} SOA": "REFUSED",
    "ryo.kermpany.wg AAAA": "NOERROR aa | ryo.kermpany.wg. 30 IN AAAA fd00:1:2:a::5",
    "ryo.kermpany.wg A": "NOERROR aa | kermpany.wg. SOA",
    "ryo.kermpany.wg ANY": "NOERROR aa | ryo.kermpany.wg. 30 IN AAAA fd00:1:2:a::5",
    "5.3.20.172.in-addr.arpa PTR": "REFUSED",
}


@pytest.mark.parametrize("question", WIDE_ANSWERS)
def test_a_range_of_12_bits_is_served_as_16_zones(question: str) -> None:
    assert dig(question, zone=WIDE, source="172.20.3.5") == WIDE_ANSWERS[question]


@pytest.mark.parametrize("question", TIGHT_ANSWERS)
def test_a_range_of_25_bits_answers_for_its_half_of_the_zone_alone(question: str) -> None:
    assert dig(question, zone=TIGHT, source="192.168.7.200") == TIGHT_ANSWERS[question]


@pytest.mark.parametrize("question", SIX_ANSWERS)
def test_a_range_of_61_bits_is_served_as_8_zones(question: str) -> None:
    assert dig(question, zone=SIX, source="fd00:1:2:a::5") == SIX_ANSWERS[question]


def test_a_reverse_answer_keeps_the_case_of_its_question_and_points_at_the_zone() -> None:
    read = dns.message.from_wire(reply(packet("9.3.20.172.IN-addr.ARPA", "PTR"), zone=WIDE, source="172.20.3.5") or b"")
    assert read.question[0].name.to_text() == "9.3.20.172.IN-addr.ARPA."
    assert read.authority[0].name.to_text() == "20.172.IN-addr.ARPA."


def test_the_negative_soa_of_a_reverse_zone_is_the_soa_of_its_apex() -> None:
    at_apex = dns.message.from_wire(reply(packet("20.172.in-addr.arpa", "SOA"), zone=WIDE, source="172.20.3.5") or b"")
    negative = dns.message.from_wire(reply(packet("9.20.172.in-addr.arpa"), zone=WIDE, source="172.20.3.5") or b"")
    assert negative.authority == at_apex.answer


@pytest.mark.parametrize("octet", [0, 1, 128, 254, 255])
def test_a_node_above_one_name_exists_wherever_below_it_the_name_stands(octet: int) -> None:
    zone = zone_of([host("innernet-server", "10.42.0.1", None), host("ryo", f"10.42.9.{octet}", 3)])
    for source in ("10.42.0.1", f"10.42.9.{octet}"):
        assert dig("9.42.10.in-addr.arpa PTR", zone=zone, source=source) == "NOERROR aa | 42.10.in-addr.arpa. SOA"
        for beside in (8, 10):
            said = dig(f"{beside}.42.10.in-addr.arpa PTR", zone=zone, source=source)
            assert said == "NXDOMAIN aa | 42.10.in-addr.arpa. SOA"


def test_a_node_above_the_coordinator_alone_exists_for_everybody() -> None:
    zone = zone_of([host("innernet-server", "10.42.0.1", None), host("ryo", "10.42.9.5", 3)])
    assert dig("0.42.10.in-addr.arpa PTR", zone=zone, source="10.42.9.5") == "NOERROR aa | 42.10.in-addr.arpa. SOA"
