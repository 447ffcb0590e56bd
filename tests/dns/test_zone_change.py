"""A zone that followed changes equals one built afresh, and the zone before a change stays what it was."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inndns.records import Host
from inndns.zone import Zone
from tests.dns.asking import HUMANS, VILLAGE, VILLAGE_HOSTS, VILLAGE_SEES, dig, host, packet, reply, sight, zone_of
from tests.dns.oracle import BLOCKS, Sees, examples, populations, probes, sights


def said(zone: Zone, askers: list[Host], hosts: list[Host]) -> list[bytes | None]:
    """All that a zone says at and around some hosts, to some askers."""
    return [
        reply(packet(name.to_wire(), type_), zone=zone, source=str(asker.address))
        for asker in askers
        for name, type_ in probes(hosts)
    ]


def moved(zone: Zone, before: list[Host], after: list[Host], sees: Sees, serial: int) -> Zone:
    """The change from some hosts to others, naming only those that differ."""
    gone, come = [h for h in before if h not in after], [h for h in after if h not in before]
    return zone.change(serial, sight(sees), gone, come)


@examples(25)
@given(data=st.data(), block=st.sampled_from(BLOCKS))
def test_a_zone_that_followed_changes_equals_one_built_afresh(data: st.DataObject, block: str) -> None:
    steps = data.draw(st.lists(st.tuples(populations(block), sights()), min_size=2, max_size=4))
    hosts, sees = steps[0]
    followed = zone_of(hosts, block, sees, serial=1)
    for serial, (later, sees) in enumerate(steps[1:], 2):
        followed = moved(followed, hosts, later, sees, serial)
        ever = list({h.name + str(h.address): h for h in hosts + later}.values())
        hosts = later
        afresh = zone_of(hosts, block, sees, serial=serial)
        askers = hosts[:1] + [data.draw(st.sampled_from(hosts))]
        assert said(followed, askers, ever) == said(afresh, askers, ever)
        strangers = {str(h.address) for h in ever} - {str(h.address) for h in hosts}
        assert [followed.asker(address) for address in strangers] == [None] * len(strangers)


def test_two_peers_may_swap_their_names_in_one_change() -> None:
    server, ryo, mari, *rest = VILLAGE_HOSTS
    swapped = [host("mari", str(ryo.address), HUMANS), host("ryo", str(mari.address), HUMANS)]
    zone = VILLAGE.change(8, sight(VILLAGE_SEES), [ryo, mari], swapped)
    assert dig("ryo.kermpany.wg A", zone=zone).endswith("10.42.3.6")
    assert dig("5.3.42.10.in-addr.arpa PTR", zone=zone).endswith("PTR mari.kermpany.wg.")
    afresh = zone_of([server, *swapped, *rest], sees=VILLAGE_SEES, serial=8)
    assert said(zone, [server], list(VILLAGE_HOSTS)) == said(afresh, [server], list(VILLAGE_HOSTS))


def test_the_zone_before_a_change_stays_what_it_was() -> None:
    before = [dig("ryo.kermpany.wg A"), dig("kermpany.wg SOA"), dig("3.42.10.in-addr.arpa A")]
    VILLAGE.change(8, sight({}), VILLAGE_HOSTS, [host("ryo", "10.42.3.99", HUMANS)])
    assert [dig("ryo.kermpany.wg A"), dig("kermpany.wg SOA"), dig("3.42.10.in-addr.arpa A")] == before


@pytest.mark.parametrize("gone", VILLAGE_HOSTS[2:], ids=lambda h: h.name)
def test_who_is_gone_is_neither_named_nor_answered(gone: Host) -> None:
    zone = VILLAGE.change(8, sight(VILLAGE_SEES), [gone], [])
    assert zone.asker(str(gone.address)) is None
    assert dig(f"{gone.name}.kermpany.wg ANY", zone=zone, source="10.42.0.1").startswith("NXDOMAIN")
    reverse = gone.address.reverse_pointer
    assert dig(f"{reverse} PTR", zone=zone, source="10.42.0.1").startswith("NXDOMAIN")


def test_a_node_above_names_goes_with_the_last_of_them() -> None:
    ryo, mari = VILLAGE_HOSTS[1:3]
    one_left = VILLAGE.change(8, sight(VILLAGE_SEES), [mari], [])
    none_left = one_left.change(9, sight(VILLAGE_SEES), [ryo], [])
    node = "3.42.10.in-addr.arpa PTR"
    assert dig(node, zone=one_left).startswith("NOERROR")
    assert dig(node, zone=none_left, source="10.42.0.1").startswith("NXDOMAIN")


def test_an_asker_is_known_by_the_text_that_sockets_give() -> None:
    from socket import AF_INET6, inet_ntop

    block = ip_network("fd00:0:0:1::/64")
    texts = ["fd00:0:0:1::1", "fd00:0:0:1:0:0:0:2", "fd00::1:0:a:0:b", "fd00:0:0:1:ffff:0:1:0", "fd00:0:0:1:1::"]
    zone = zone_of([host(f"p{n}", text, 3) for n, text in enumerate(texts)], str(block))
    for number, text in enumerate(texts):
        packed = host("x", text, 3).address.packed
        found = zone.asker(inet_ntop(AF_INET6, packed))
        assert found is not None
        assert found.name == f"p{number}"
