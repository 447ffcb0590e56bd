"""The coordinator's names follow what was committed: after every change they say what a new look would say."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest

from innerd.coordinator.names import NetworkNames
from innerd.domain import commands as c
from innerd.domain.errors import Refused
from innerd.domain.values import Name
from innerd.log.store import StoreError
from tests.dns.asking import dig, wire
from tests.world import World, key, populated, world

KUMA = "127.42.130.5"


@dataclass
class Village:
    world: World
    names: NetworkNames

    def says(self, asker: str, question: str) -> str:
        return dig(question, zone=self.names.zone, source=str(self.world.peer(asker).ip))

    def sees(self, asker: str, name: str) -> bool:
        """Whether an asker is told a name's address, and then the address's name too."""
        said = self.says(asker, f"{name}.kermpany.wg A")
        if said == "NXDOMAIN aa | kermpany.wg. SOA":
            return False
        ip = self.world.peer(name).ip
        assert said == f"NOERROR aa | {name}.kermpany.wg. 5 IN A {ip}"
        assert self.says(asker, f"{ip.reverse_pointer} PTR").endswith(f"PTR {name}.kermpany.wg.")
        return True

    def answers(self, name: str) -> bool:
        """Whether a peer is answered at all."""
        return self.names.zone.asker(str(self.world.peer(name).ip)) is not None

    @property
    def serial(self) -> int:
        return int(self.says("innernet-server", "kermpany.wg SOA").split()[-5])


@pytest.fixture
async def village() -> Village:
    """Humans ryo, mari and kuma; oven, an oven; tama, a cat. Nobody is associated, and names follow from here on."""
    world = await populated()
    await world.join("kuma", "humans", ip=KUMA)
    names = NetworkNames(world.writer.view, "wg", 5)
    world.writer.feed.follow("dns", names.follow)
    return Village(world, names)


def test_at_the_start_the_network_as_it_is_has_its_names(village: Village) -> None:
    assert village.sees("ryo", "mari")
    assert village.sees("ryo", "kuma")
    assert village.sees("tama", "innernet-server")
    assert not village.sees("ryo", "tama")
    assert village.sees("innernet-server", "tama")


async def test_an_invited_peer_has_no_name_and_no_answers_until_it_redeems(village: Village) -> None:
    neko = await village.world.invite("neko", "cats")
    assert not village.sees("innernet-server", "neko")
    assert not village.answers("neko")
    await village.world.do(c.Redeem(neko.id, key("neko")))
    assert village.sees("tama", "neko")
    assert village.sees("neko", "tama")


async def test_a_renamed_peer_is_found_by_its_new_name_alone(village: Village) -> None:
    mari = village.world.peer("mari")
    await village.world.do(c.RenamePeer(mari.id, Name("marie")))
    assert village.sees("ryo", "marie")
    assert village.says("ryo", "mari.kermpany.wg A").startswith("NXDOMAIN")
    assert village.sees("marie", "ryo")


async def test_a_disabled_peer_is_neither_named_nor_answered_until_it_is_enabled(village: Village) -> None:
    mari = village.world.peer("mari")
    await village.world.do(c.DisablePeer(mari.id))
    assert not village.sees("ryo", "mari")
    assert not village.sees("innernet-server", "mari")
    assert village.says("ryo", f"{mari.ip.reverse_pointer} PTR").startswith("NXDOMAIN")
    assert not village.answers("mari")
    await village.world.do(c.EnablePeer(mari.id))
    assert village.sees("ryo", "mari")
    assert village.answers("mari")


async def test_the_name_of_a_retired_peer_goes_with_it_and_may_come_back_elsewhere(village: Village) -> None:
    mari = village.world.peer("mari")
    await village.world.do(c.RemovePeer(mari.id))
    assert not village.sees("innernet-server", "mari")
    assert village.names.zone.asker(str(mari.ip)) is None
    await village.world.do(c.RenamePeer(village.world.peer("kuma").id, Name("mari")))
    assert village.says("ryo", "mari.kermpany.wg A").endswith(f"A {KUMA}")
    assert village.says("ryo", f"{mari.ip.reverse_pointer} PTR").startswith("NXDOMAIN")


async def test_carving_a_cidr_out_moves_its_peers_out_of_sight(village: Village) -> None:
    await village.world.add_cidr("bears", "127.42.130.0/24")
    assert not village.sees("ryo", "kuma")
    assert not village.sees("kuma", "ryo")
    assert village.says("ryo", "130.42.127.in-addr.arpa PTR").startswith("NXDOMAIN")
    assert village.says("kuma", "130.42.127.in-addr.arpa PTR").startswith("NOERROR")
    assert village.sees("innernet-server", "kuma")
    assert village.sees("ryo", "mari")


async def test_a_carved_cidr_that_is_associated_with_its_parent_is_seen_again(village: Village) -> None:
    await village.world.add_cidr("bears", "127.42.130.0/24")
    await village.world.associate("bears", "humans")
    assert village.sees("ryo", "kuma")
    assert village.sees("kuma", "mari")
    assert village.says("ryo", "130.42.127.in-addr.arpa PTR").startswith("NOERROR")


async def test_an_association_shows_names_both_ways_and_its_end_hides_them(village: Village) -> None:
    await village.world.associate("humans", "ovens")
    assert village.sees("ryo", "oven")
    assert village.sees("oven", "kuma")
    assert not village.sees("tama", "oven")
    (association,) = village.world.writer.network.associations
    await village.world.do(c.DeleteAssociation(association))
    assert not village.sees("ryo", "oven")
    assert not village.sees("oven", "kuma")


async def test_an_association_does_not_chain(village: Village) -> None:
    await village.world.associate("humans", "ovens")
    await village.world.associate("ovens", "cats")
    assert village.sees("tama", "oven")
    assert not village.sees("tama", "ryo")


async def test_a_cidr_that_lost_its_last_peer_and_went_leaves_the_others_as_they_were(village: Village) -> None:
    await village.world.do(c.RemovePeer(village.world.peer("tama").id))
    await village.world.do(c.DeleteCidr(village.world.cidr_id("cats")))
    assert village.sees("ryo", "mari")
    assert village.sees("innernet-server", "oven")
    assert not village.sees("innernet-server", "tama")


@pytest.mark.parametrize("asker", ["innernet-server", "ryo", "tama"])
async def test_the_serial_is_the_revision_even_of_a_change_that_shows_nothing(village: Village, asker: str) -> None:
    await village.world.do(c.RenameCidr(village.world.cidr_id("cats"), Name("felines")))
    revision = village.world.writer.network.revision
    assert village.says(asker, "kermpany.wg SOA").split()[-5] == str(revision)
    assert village.says(asker, "42.127.in-addr.arpa SOA").split()[-5] == str(revision)


async def test_a_refused_command_leaves_the_very_zone(village: Village) -> None:
    before = village.names.zone
    with pytest.raises(Refused):
        await village.world.do(c.RenamePeer(village.world.peer("mari").id, Name("ryo")))
    assert village.names.zone is before


async def test_what_could_not_be_written_is_not_named(village: Village) -> None:
    mari, before = village.world.peer("mari"), village.names.zone
    village.world.store.broken = StoreError("disk full")
    with pytest.raises(Refused, match="can't be written"):
        await village.world.do(c.RenamePeer(mari.id, Name("marie")))
    assert village.names.zone is before
    village.world.store.broken = None
    await village.world.do(c.RenamePeer(mari.id, Name("maria")))
    assert village.sees("ryo", "maria")
    assert village.says("ryo", "marie.kermpany.wg A").startswith("NXDOMAIN")


async def test_several_properties_changed_at_once_are_one_step(village: Village) -> None:
    mari = village.world.peer("mari")
    await village.world.do(c.ChangePeer(id=mari.id, name=Name("marie"), is_disabled=True))
    assert not village.answers("marie")
    assert village.says("innernet-server", "mari.kermpany.wg A").startswith("NXDOMAIN")
    assert village.serial == village.world.writer.network.revision


async def test_an_invitation_that_expired_leaves_no_name_behind(village: Village) -> None:
    await village.world.invite("neko", "cats", expires=int(village.world.now) + 60)
    village.world.now += 60 + 2 * 86_400
    await village.world.do(c.ExpireInvitations())
    assert village.world.writer.network.peer_named("neko") is None
    assert village.says("innernet-server", "neko.kermpany.wg A").startswith("NXDOMAIN")
    assert village.serial == village.world.writer.network.revision


async def test_the_coordinator_answers_to_its_own_name_in_a_network_of_ipv6() -> None:
    world = await populated_v6()
    names = NetworkNames(world.writer.view, "wg", 5)
    source = str(world.peer("ryo").ip)
    said = dig("innernet-server.kermpany.wg AAAA", zone=names.zone, source=source)
    assert said.endswith(f"AAAA {world.writer.network.coordinator.ip}")
    assert names.zone.apex.name == wire("kermpany.wg")


async def populated_v6() -> World:
    made = await world("fd00:42::/64")
    await made.add_cidr("humans", "fd00:42::8000:0/112")
    await made.join("ryo", "humans")
    return made


def test_the_range_of_the_world_is_what_these_tests_take_it_for(village: Village) -> None:
    assert village.names.zone.block == ip_network("127.42.0.0/16")
    assert village.world.peer("kuma").ip == ip_address(KUMA)
