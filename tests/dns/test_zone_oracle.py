"""Any question of any asker, in any network, against a naive oracle: the zone equals a search through all hosts."""

from hypothesis import given
from hypothesis import strategies as st

from inndns.reverse import domains as reverse_domains
from tests.dns.asking import packet, reply, zone_of
from tests.dns.oracle import BLOCKS, TYPES, asked_names, check, examples, expected, reverse_apexes, villages


@examples(150)
@given(data=st.data(), village=villages())
def test_every_answer_is_what_a_search_through_all_hosts_says(data: st.DataObject, village) -> None:
    zone = zone_of(village.hosts, village.block, village.sees)
    for _ in range(8):
        asker = data.draw(st.sampled_from(village.hosts))
        name, type_ = data.draw(asked_names(village)), data.draw(st.sampled_from(TYPES))
        answer = reply(packet(name.to_wire(), type_), zone=zone, source=str(asker.address))
        assert answer is not None
        check(answer, expected(village, asker, name, type_), name)


def test_the_reverse_domains_are_those_of_the_oracle() -> None:
    for block in BLOCKS:
        inside = zone_of([], block).block
        assert reverse_domains(inside) == [name.to_text(omit_final_dot=True) for name in reverse_apexes(inside)]
