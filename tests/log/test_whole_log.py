"""A whole log that is kept for ever: `golden/whole-log.jsonl`, a network's life with every type of event in it.

Every release must read it to this very head and this very network. The file is never written again: a release with a
new event or version of one adds another file.
"""

import json
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, get_args

import pytest

from innerd.coordinator.replay import Replayed, load
from innerd.coordinator.writer import Writer
from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.network import Peer
from innerd.log import codec
from innerd.log.memory import MemoryStore
from innerd.log.projection import Rows
from innerd.log.sqlite import SqliteStore
from innerd.log.store import Stored
from innerd.log.verify import verify_file, walk
from tests.log.tampering import first_wrong

FILE = Path(__file__).parent / "golden" / "whole-log.jsonl"
SHA256 = "4be0fbf9eb9633f84bf5e57edd01ddfbbc128ab0003c3ddf5ffdde7562962dc5"
HEAD = "168eafab938f5cbf7af36ab552851df6e74a120fd15324bc7f7139ec7d1433a2"
ID = "00112233445566778899aabbccddeeff"


def records() -> list[Stored]:
    rows = [json.loads(line) for line in FILE.read_text().splitlines()]
    return [
        Stored(seq, row["record"].encode(), bytes.fromhex(row["salt"]), bytes.fromhex(row["chain"]))
        for seq, row in enumerate(rows, 1)
    ]


async def loaded() -> Replayed:
    store = MemoryStore()
    await store.append(records(), Rows(), [])
    return await load(store)


def summary(peer: Peer) -> tuple[Any, ...]:
    state = "".join(
        letter for letter, is_so in (("a", peer.is_admin), ("r", peer.is_redeemed), ("d", peer.is_disabled)) if is_so
    )
    return (peer.name, str(peer.ip), peer.public_key[:8], state, peer.endpoint, peer.redeemed_at)


def test_the_file_is_the_one_that_was_written() -> None:
    assert sha256(FILE.read_bytes()).hexdigest() == SHA256


def test_every_type_of_event_of_the_first_release_is_in_it() -> None:
    types = {codec.envelope(stored.record).type for stored in records()}
    missing = {str(cls.__struct_config__.tag) for cls in get_args(e.AnyEvent)} - types
    later = {"record.added", "record.deleted", "config.written", "relay.allowed", "relay.disallowed"}
    assert missing == later, "a later type goes into another file"


async def test_it_loads_to_its_head() -> None:
    found = await loaded()
    assert found.chain.hex() == HEAD
    assert found.at == pytest.approx(1_772_366_400.25 + 100_120)


def test_its_chain_holds() -> None:
    rows = [(stored.seq, stored.record, stored.salt, stored.chain) for stored in records()]
    assert first_wrong(rows) is None
    held = walk(iter(rows))
    assert (held.events, held.head, held.network_id) == (36, HEAD, ID)


async def test_it_is_this_network() -> None:
    network = (await loaded()).network
    assert (network.id, network.name, network.revision, network.generation) == (ID, "kermpany", 36, 2)
    assert {number: summary(peer) for number, peer in sorted(network.peers.items())} == {
        1: ("innernet-server", "10.42.0.1", "vyQ4UJhB", "ar", "coordinator.example:51820", None),
        2: ("ryo", "10.42.128.1", "U7KUYWD8", "rd", None, 1_772_366_580),
        3: ("mari", "10.42.128.2", "+8g10sY8", "ar", "[2001:db8::2]:51820", 1_772_366_760),
        4: ("toaster", "10.42.64.1", "uEsPrzk+", "r", None, None),
    }
    assert {number: summary(peer)[:3] for number, peer in network.retired.items()} == {
        7: ("kiln", "10.42.64.2", "zf6a1YtG")
    }
    assert {number: (cidr.name, str(cidr.range), cidr.parent) for number, cidr in sorted(network.cidrs.items())} == {
        1: ("kermpany", "10.42.0.0/16", None),
        2: ("innernet-server", "10.42.0.1/32", 1),
        3: ("humans", "10.42.128.0/17", 1),
        4: ("ovens", "10.42.64.0/24", 1),
        6: ("bakers", "10.42.128.0/24", 3),
    }
    assert [(a.id, a.cidr_id_1, a.cidr_id_2) for a in network.associations.values()] == [(1, 3, 4)]


async def test_what_was_burnt_stays_burnt() -> None:
    network = (await loaded()).network
    assert (network.last_peer, network.last_cidr, network.last_association) == (7, 6, 2)
    assert len(network.keys) == 10, "of invitations, of the deleted and of the retired too"
    assert sorted(network.names) == ["innernet-server", "mari", "ryo", "toaster"]


async def test_the_records_are_what_this_release_would_write() -> None:
    """As long as the versions are the same: a change of the envelope's shape is a change of the format."""
    for stored in records():
        read, event = codec.envelope(stored.record), codec.decode(stored.record)
        if read.version == event.version:
            who = codec.Who(read.actor, read.origin, read.request)
            assert codec.encode(event, read.seq, read.time, who) == stored.record


async def test_the_log_goes_on_from_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "net.db"
    store, salts = await SqliteStore.open(path, create=True), count(1)
    await store.append(records(), Rows(), [])
    writer = Writer(store, await load(store), lambda: 0.0, pytest.fail, lambda: bytes([next(salts)]) * 16)
    await writer.submit(c.EnablePeer(2), codec.Who("local:root"))
    await store.close()
    held = verify_file(path, (36, HEAD))
    assert (held.events, held.network_id) == (37, ID)
