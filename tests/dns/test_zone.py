"""The forward zone, question by question: what a human of the village is told."""

import dns.message
import pytest

from tests.dns.asking import ADDRESS, TTL, VILLAGE, VILLAGE_HOSTS, dig, host, packet, reply, told, zone_of

NXDOMAIN, NODATA = "NXDOMAIN aa | kermpany.wg. SOA", "NOERROR aa | kermpany.wg. SOA"
SOA = (
    "NOERROR aa | kermpany.wg. 30 IN SOA "
    "innernet-server.kermpany.wg. hostmaster.kermpany.wg. {serial} 3600 600 86400 30"
)

ANSWERS = {
    "ryo.kermpany.wg A": "NOERROR aa | ryo.kermpany.wg. 30 IN A 10.42.3.5",
    "oven.kermpany.wg A": "NOERROR aa | oven.kermpany.wg. 30 IN A 10.42.64.2",
    "innernet-server.kermpany.wg A": "NOERROR aa | innernet-server.kermpany.wg. 30 IN A 10.42.0.1",
    "ryo.kermpany.wg AAAA": NODATA,
    "ryo.kermpany.wg TXT": NODATA,
    "ryo.kermpany.wg SRV": NODATA,
    "ryo.kermpany.wg CNAME": NODATA,
    "ryo.kermpany.wg HTTPS": NODATA,
    "ryo.kermpany.wg TYPE65280": NODATA,
    "ryo.kermpany.wg PTR": NODATA,
    "ryo.kermpany.wg SOA": NODATA,
    "ryo.kermpany.wg NS": NODATA,
    "ryo.kermpany.wg ANY": "NOERROR aa | ryo.kermpany.wg. 30 IN A 10.42.3.5",
    "nobody.kermpany.wg A": NXDOMAIN,
    "nobody.kermpany.wg ANY": NXDOMAIN,
    "nobody.kermpany.wg SOA": NXDOMAIN,
    "tama.kermpany.wg A": NXDOMAIN,
    "*.kermpany.wg A": NXDOMAIN,
    "x.ryo.kermpany.wg A": NXDOMAIN,
    "y.x.ryo.kermpany.wg A": NXDOMAIN,
    "ryo.ryo.kermpany.wg A": NXDOMAIN,
    "_http._tcp.kermpany.wg PTR": NXDOMAIN,
    "kermpany.kermpany.wg A": NXDOMAIN,
    "hostmaster.kermpany.wg A": NXDOMAIN,
    "kermpany.wg SOA": SOA.format(serial=7),
    "kermpany.wg NS": "NOERROR aa | kermpany.wg. 30 IN NS innernet-server.kermpany.wg.",
    "kermpany.wg ANY": SOA.format(serial=7),
    "kermpany.wg A": NODATA,
    "kermpany.wg DS": NODATA,
    "kermpany.wg DNSKEY": NODATA,
    "kermpany.wg HTTPS": NODATA,
    "wg NS": "REFUSED",
    ". NS": "REFUSED",
    "example.com A": "REFUSED",
    "ryo A": "REFUSED",
    "ryo.kermpany A": "REFUSED",
    "xkermpany.wg A": "REFUSED",
    "ryo.xkermpany.wg A": "REFUSED",
    "kermpany.wg.example.com A": "REFUSED",
    "ryo.kermpany.wg.kermpany.wg A": NXDOMAIN,
}


@pytest.mark.parametrize("question", ANSWERS)
def test_each_question_has_its_answer(question: str) -> None:
    assert dig(question) == ANSWERS[question]


@pytest.mark.parametrize("question", ANSWERS)
def test_case_changes_nothing_but_the_echo(question: str) -> None:
    name, type_ = question.split()
    assert dig(f"{name.upper()} {type_}").lower() == ANSWERS[question].lower()


def test_the_owner_of_an_answer_is_the_name_as_it_was_asked() -> None:
    answer = dns.message.from_wire(reply(packet("RyO.kErMpAnY.wG")) or b"")
    assert answer.answer[0].name.to_text() == "RyO.kErMpAnY.wG."


def test_the_target_of_ns_and_soa_resolves_inside_the_zone() -> None:
    target = dig("kermpany.wg NS").split()[-1]
    assert dig(f"{target} A", source=ADDRESS["tama"]) == f"NOERROR aa | {target} 30 IN A {ADDRESS['innernet-server']}"


def test_a_negative_answer_may_be_remembered_as_long_as_a_positive_one() -> None:
    authority = dns.message.from_wire(reply(packet("nobody.kermpany.wg")) or b"").authority[0]
    assert authority.ttl == authority[0].minimum == TTL


@pytest.mark.parametrize("serial", [0, 1, 15, 2**31, 2**32 - 1])
def test_the_serial_is_the_revision(serial: int) -> None:
    zone = zone_of(VILLAGE_HOSTS, serial=serial)
    assert dig("kermpany.wg SOA", zone=zone) == SOA.format(serial=serial)
    assert dig("42.10.in-addr.arpa SOA", zone=zone).split()[-5] == str(serial)


def test_the_serial_wraps_at_32_bits() -> None:
    assert dig("kermpany.wg SOA", zone=zone_of(VILLAGE_HOSTS, serial=2**32 + 3)) == SOA.format(serial=3)


def test_the_negative_soa_carries_the_serial_of_now() -> None:
    negative = dns.message.from_wire(reply(packet("nobody.kermpany.wg"), zone=zone_of(VILLAGE_HOSTS, serial=99)) or b"")
    assert negative.authority[0][0].serial == 99


def test_the_coordinator_sees_every_name() -> None:
    for name, address in ADDRESS.items():
        said = dig(f"{name}.kermpany.wg A", source=ADDRESS["innernet-server"])
        assert said == f"NOERROR aa | {name}.kermpany.wg. 30 IN A {address}"


def test_every_peer_sees_itself_and_the_coordinator() -> None:
    for name, address in ADDRESS.items():
        assert dig(f"{name}.kermpany.wg A", source=address).endswith(address)
        assert dig("innernet-server.kermpany.wg A", source=address).endswith("10.42.0.1")


def test_a_suffix_of_several_labels_is_the_zone_and_nothing_above_it() -> None:
    zone = zone_of(VILLAGE_HOSTS, suffix="Mesh.Home.ARPA")
    assert dig("ryo.kermpany.mesh.home.arpa A", zone=zone).endswith("A 10.42.3.5")
    assert dig("nobody.kermpany.mesh.home.arpa A", zone=zone) == "NXDOMAIN aa | kermpany.mesh.home.arpa. SOA"
    assert dig("mesh.home.arpa SOA", zone=zone) == "REFUSED"


def test_a_network_without_peers_answers_nobody() -> None:
    zone = zone_of([])
    assert zone.asker("10.42.0.1") is None
    assert VILLAGE.asker("10.42.0.1") is not None


def test_who_asks_is_known_by_its_whole_address_in_its_own_family() -> None:
    assert VILLAGE.asker("10.42.3.5") is not None
    for stranger in ("10.42.3.7", "::10.42.3.5", "::ffff:10.42.3.5", "fe80::1%lo", "", "local:0"):
        assert VILLAGE.asker(stranger) is None


NAMES_63 = ["a" * 63, "0", "9-9", "x" * 62 + "0"]


@pytest.mark.parametrize("name", NAMES_63)
def test_every_legal_name_is_found(name: str) -> None:
    zone = zone_of([*VILLAGE_HOSTS, host(name, "10.42.9.9", 3)])
    assert told(reply(packet(f"{name}.kermpany.wg"), zone=zone) or b"").endswith("A 10.42.9.9")
    assert dig("9.9.42.10.in-addr.arpa PTR", zone=zone).endswith(f"PTR {name}.kermpany.wg.")
